"""`export`: from a Keras model to a `.tflite` file that was run and compared before it got its name."""

import math
import os
import secrets
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export import flatbuffer
from tflite_export.arrays import join
from tflite_export.convert import convert
from tflite_export.errors import require
from tflite_export.report import ExportReport
from tflite_export.signature import inputs_of, invent, layers_of, signature_names, standardize, structure_of
from tflite_export.verify import check_finite, check_operators, check_zeros, compare

if TYPE_CHECKING:
    import keras


def export(
    model: "keras.Model",
    path: str | os.PathLike[str],
    *,
    inputs: Any = None,
    tolerance: float = 1e-4,
    samples: int = 8,
) -> ExportReport:
    """Writes a Keras model as a float32 `.tflite` file, after checking that it computes what Keras does.

    Pruning masks are stripped, the zeros written in. The conversion and the check each run in a process of
    their own; the check loads the file with LiteRT and runs it on the same inputs as Keras, with XNNPACK and
    without. The file appears at `path` only when all holds: until then a file that was there stays as it is.
    The model is not changed.

    The file has a batch of one, LiteRT's builtin operators only, and its inputs and outputs in Keras's order.
    Outputs are called `output_0`, `output_1`, ..., or by the keys of the dict that the model returns.

    Args:
        model: A built model, with pruning masks or without. All axes but the batch have a fixed size.
        path: Where the file goes, in a folder that exists; ends in `.tflite`.
        inputs: Real inputs for the comparison, as the model takes them, with a batch axis; the first
            `samples` are used. Without them the inputs are standard normal numbers, or ids for Embedding
            layers. A subclassed model needs them: they show the shapes of its inputs.
        tolerance: How far the file's outputs may be from Keras's, relative to max(1, max|Keras output|).
        samples: How many samples are compared.

    Returns:
        What was found: sizes, the difference, the zeros in each weight, operators, latency. `print` shows a
        table.

    Raises:
        ValueError: An argument is not as described.
        ImportError: TensorFlow or ai-edge-litert is not installed.
        ExportError: The model cannot be converted, its outputs are not finite, or the file differs from it.

    Example:

    ```python
    import keras
    import tflite_export

    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    report = tflite_export.export(model, "model.tflite")
    print(report)
    ```
    """
    target = _checked_path(path)
    if not (isinstance(tolerance, int | float) and 0 <= tolerance < math.inf):
        raise ValueError(f"`tolerance` must be a finite number, 0 or more. Received: {tolerance!r}")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"`samples` must be an integer, 1 or more. Received: {samples!r}")
    _check_model(model)
    structure = structure_of(model, inputs)
    specs = inputs_of(model, structure)
    plain = _plain(model)
    if inputs is None:
        batches = invent(plain, specs, samples)
    else:
        batches = [batch[:samples] for batch in standardize(structure, specs, inputs)]

    outputs, expected = _run_keras(plain, structure, batches)
    note = " (made up: none were given)" if inputs is None else ""
    check_finite(expected, outputs, "the Keras model", note)
    with tempfile.TemporaryDirectory(prefix="tflite_export_") as name:
        folder = Path(name)
        content = convert(plain, structure, specs, outputs, folder)
        operators = flatbuffer.operators(content)
        check_operators(operators)
        check_zeros(plain, flatbuffer.zeros(content))
        difference, latency = compare(content, folder, batches, outputs, expected, tolerance)
    _write(target, content)

    return ExportReport(
        path=Path(path),
        bytes=len(content),
        zipped_bytes=len(zlib.compress(content, 9)),
        inputs=tuple(spec.name for spec in specs),
        outputs=tuple(outputs),
        samples=len(batches[0]),
        max_difference=difference,
        tolerance=tolerance,
        tensors=flatbuffer.weights(content),
        operators=operators,
        latency_ms=latency[1],
        latency_p10_ms=latency[0],
        latency_p90_ms=latency[2],
    )


def _checked_path(path: str | os.PathLike[str]) -> Path:
    """Where to write; a link is followed, so that its target is replaced and not the link."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"`path` must be a path to a .tflite file. Received: {path!r}")
    target = Path(os.path.realpath(path))
    if Path(path).suffix != ".tflite":
        raise ValueError(f"`path` must end in .tflite. Received: {os.fspath(path)!r}")
    if target.is_dir():
        raise ValueError(f"`path` must be a file, not a folder. Received: {os.fspath(path)!r}")
    if not target.parent.is_dir():
        raise ValueError(f"The folder of `path` must exist. Received: {os.fspath(path)!r}")
    return target


def _check_model(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {model!r} of type {type(model).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "tflite_export converts with TensorFlow. Save the model as a .keras file and export it in a "
            "process where the environment variable KERAS_BACKEND is 'tensorflow'. "
            f"Received: backend {keras.backend.backend()!r}"
        )
    require("tensorflow", "ai_edge_litert")
    if not model.built:
        raise ValueError(
            "`model` must be built: give it a keras.Input, or call it on data once. "
            f"Received: the unbuilt model {model.name!r}"
        )
    stateful = [layer.name for layer in layers_of(model) if getattr(layer, "stateful", False)]
    if stateful:  # the converter freezes the state: the first call is right and the others are not
        raise ValueError(f"A .tflite file cannot hold the state of a stateful layer. Received: {stateful}")


def _plain(model: "keras.Model") -> "keras.Model":
    """The model without masks, the zeros written in; the user's own stays as it is.

    A subclassed model cannot be built anew, and stripping it in place would change the user's. It is exported
    as it is: its masked weights are zero already, and its masks, which no call reads, do not reach the file.
    """
    import keras_prune
    from keras_prune.keras_internals import is_graph

    return keras_prune.strip_pruning(model) if is_graph(model) else model


def _run_keras(
    model: "keras.Model", structure: Any, batches: Sequence[np.ndarray]
) -> tuple[list[str], list[np.ndarray]]:
    """The names of the outputs and their values, from one call per sample: the file's batch is one too."""
    import keras

    state = [variable.numpy() for variable in model.non_trainable_variables]
    calls = []
    result: Any = None
    for i in range(len(batches[0])):
        row = [keras.ops.convert_to_tensor(batch[i : i + 1]) for batch in batches]
        result = model(keras.tree.pack_sequence_as(structure, row), training=False)
        calls.append([keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(result)])
    for variable, value in zip(model.non_trainable_variables, state, strict=True):
        variable.assign(value)  # a layer may count its calls; a subclassed model is the user's own
    keys = [""] * len(calls[0])
    if isinstance(result, dict) and len(result) == len(keys):
        for key, place in keras.tree.pack_sequence_as(result, list(range(len(keys)))).items():
            keys[place] = str(key)
    return signature_names(keys, "output"), join(calls)


def _write(target: Path, content: bytes) -> None:
    """Puts the file in place in one step: whoever opens `target` sees the old file or the new one, whole."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
