"""`export`: from a Keras model to a `.tflite` file that was run and compared before it got its name."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tflite_export import flatbuffer
from tflite_export.accuracy import checked_labels
from tflite_export.convert import Conversion, Settings
from tflite_export.elsewhere import export_elsewhere
from tflite_export.errors import ExportError, require
from tflite_export.files import checked_target, write
from tflite_export.kernels import Kernel, kernels_of
from tflite_export.modes import find_mode
from tflite_export.options import check_options
from tflite_export.reference import predict, run_keras, sizes_to_compare
from tflite_export.report import ExportReport, report_of
from tflite_export.signature import inputs_of, invent, layers_of, standardize, structure_of
from tflite_export.sparse import sparse_tries
from tflite_export.verify import Run, Sample, check_finite, check_operators, check_zeros, run_file

if TYPE_CHECKING:
    import keras


def export(
    model: "keras.Model",
    path: str | os.PathLike[str],
    *,
    quantize: Literal["float16", "dynamic", "int8", "int16x8"] | None = None,
    representative_data: Any = None,
    input_type: str | None = None,
    output_type: str | None = None,
    per_channel: bool | None = None,
    sparse: Literal["auto"] | bool = "auto",
    inputs: Any = None,
    labels: Any = None,
    tolerance: float | None = None,
    samples: int = 8,
    batch_size: int | None = 1,
    overwrite: bool = False,
) -> ExportReport:
    """Writes a Keras model as a `.tflite` file, after checking that it computes what Keras does.

    Pruning masks are stripped, the zeros written in. The conversion and the check each run in a process of
    their own, so a crash of the converter or of LiteRT is an error here; the check loads the file with LiteRT
    and runs it on the same inputs as Keras, with XNNPACK and without. The file appears at `path` only when all
    holds: until then what was there stays as it is. The model is not changed. On the JAX and PyTorch backends the
    model goes through a `.keras` file to a process in which Keras runs on TensorFlow, with which the file is then
    compared; models with classes of one's own must be exported there.

    The file has LiteRT's builtin operators only, and its inputs and outputs in Keras's order. Outputs are called
    `output_0`, `output_1`, ..., or by the keys of the dict that the model returns.

    | `quantize` | weights | computes in | default `tolerance` |
    |---|---|---|---|
    | None | float32 | float32 | 1e-4 |
    | `"float16"` | float16 | float32 | 1e-2 |
    | `"dynamic"` | int8 | int8 where operators can, ranges measured at each call | 0.5 |
    | `"int8"` | int8 | int8, ranges from `representative_data` | 0.5 |
    | `"int16x8"` | int8 | int16, ranges from `representative_data` | 0.5 |

    The tolerances of the quantized modes tell a broken file from a good one. How good it is, `labels` show.

    Args:
        model: A built model, with pruning masks or without. All axes but the batch have a fixed size.
        path: Where the file goes, in a folder that exists; ends in `.tflite`.
        quantize: How weights are stored and what is computed; see the table.
        representative_data: With `"int8"` and `"int16x8"`: real inputs, as the model takes them, some hundred.
        input_type: With these, the type of the inputs: `"float32"` (default), `"int8"` or `"uint8"`; with
            `"int16x8"` `"float32"` or `"int16"`. Inputs that are integers in Keras keep their type.
        output_type: The type of the outputs, likewise.
        per_channel: With quantized weights, whether each output channel has a scale of its own, which is more
            exact, or each kernel one scale, which keeps values shared. None: per channel, unless kernels
            share values (`keras_prune.cluster_weights`).
        sparse: Whether zeros are left out of the file: `"auto"` makes both files where LiteRT runs them and
            keeps the smaller one; True and False decide. A sparse file loads slower and takes more memory, and
            is faster only where zeros come in blocks (`keras_prune.LITERT_1X4`).
        inputs: Real inputs for the comparison, as the model takes them, with a batch axis; the first
            `samples` are used. Default: `representative_data`, if there are any; or else standard normal
            numbers, or ids for Embedding layers. A subclassed model needs them: they show the shapes of its
            inputs.
        labels: The classes of all `inputs`, as integers or one-hot, for a model with one output of scores: the
            accuracy of Keras and of the file is in the report.
        tolerance: How far the file's outputs may be from Keras's, relative to max(1, max|Keras output|).
            Default: see the table.
        samples: How many samples are compared, rounded up to whole batches.
        batch_size: How many samples the file takes at a time; None: as many as it is given, which a caller sets
            with `resize_tensor_input`. Such a file is compared with batches of several sizes. Recurrent layers need
            a fixed number, unless they are built with `unroll=True`.
        overwrite: Whether a file at `path` may be replaced.

    Returns:
        What was found: sizes, the differences, the zeros in each weight, operators, latency. `print` shows a
        table.

    Raises:
        ValueError: An argument is not as described.
        ImportError: TensorFlow or ai-edge-litert is not installed.
        ExportError: The model cannot be converted, its outputs are not finite, or the file differs from it.

    Example:

    ```python
    import keras
    import numpy as np
    import tflite_export

    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    x = np.random.rand(100, 28, 28, 1)
    report = tflite_export.export(model, "model.tflite", quantize="int8", representative_data=x, overwrite=True)
    print(report)
    ```
    """
    target = checked_target(path, (".tflite",), overwrite=overwrite, name="path")
    mode = find_mode(quantize, representative_data, input_type, output_type)
    check_options(tolerance, samples, batch_size)
    tolerance = mode.tolerance if tolerance is None else tolerance
    _check_model(model)
    plain = _plain(model)
    if not _on_tensorflow():
        options = {
            "quantize": quantize,
            "representative_data": representative_data,
            "input_type": input_type,
            "output_type": output_type,
            "per_channel": per_channel,
            "sparse": sparse,
            "inputs": inputs,
            "labels": labels,
            "tolerance": tolerance,
            "samples": samples,
            "batch_size": batch_size,
        }
        return export_elsewhere(plain, Path(path), target, options)
    structure = structure_of(model, representative_data if inputs is None else inputs)
    specs = inputs_of(model, structure, batch_size)
    kernels = kernels_of(plain)
    tries = sparse_tries(sparse, mode, kernels)
    given = representative_data if inputs is None else inputs
    samples = -(-samples // (batch_size or 1)) * (batch_size or 1)
    batches = invent(plain, specs, samples) if given is None else standardize(structure, specs, given)
    representative = None
    if representative_data is not None:
        representative = standardize(structure, specs, representative_data, "representative_data")
    truth = checked_labels(labels, None if inputs is None else len(batches[0]))

    first = [batch[:samples] for batch in batches]
    sizes = sizes_to_compare(len(first[0]), batch_size)
    outputs, expected = run_keras(plain, structure, first, sizes, batch_size)
    check_finite(expected, outputs, "the Keras model", " (made up: none were given)" if given is None else "")
    labelled = batches if truth is not None else ()
    keras_accuracy = truth.accuracy(predict(plain, structure, batches, batch_size)) if truth is not None else None
    sample = Sample(first, outputs, expected, sizes, labelled)
    if per_channel is None:
        per_channel = not any(kernel.is_shared for kernel in kernels)
    settings = Settings(
        mode=mode.name,
        input_type=input_type or mode.port_types[0],
        output_type=output_type or mode.port_types[0],
        per_channel=per_channel,
        sparse=False,
    )
    notes = [] if given is not None else ["compared on inputs that are made up; pass real ones as `inputs`"]
    with tempfile.TemporaryDirectory(prefix="tflite_export_") as name:
        folder = Path(name)
        conversion = Conversion(plain, structure, specs, outputs, representative, batch_size, folder)
        content, run, is_sparse = _best(conversion, settings, tries, kernels, sample, folder, tolerance, notes)
    write(target, content)
    return report_of(
        Path(path),
        content,
        run,
        kernels=kernels,
        quantize=mode.name,
        sparse=is_sparse,
        inputs=[spec.name for spec in specs],
        outputs=outputs,
        samples=len(first[0]),
        batch_size=batch_size,
        tolerance=tolerance,
        notes=notes,
        accuracy=None if truth is None else truth.accuracy(run.labelled),
        keras_accuracy=keras_accuracy,
    )


def _best(
    conversion: Conversion,
    settings: Settings,
    tries: Sequence[bool],
    kernels: Sequence[Kernel],
    sample: Sample,
    folder: Path,
    tolerance: float,
    notes: list[str],
) -> tuple[bytes, Run, bool]:
    """The smallest of the files that pass: its bytes, its run, and whether zeros are left out of it.

    The dense one comes first, if it is tried. A sparse one that fails after it is told in `notes`.
    """
    passed: list[tuple[bytes, Run, bool]] = []
    for sparse in tries:
        try:
            content = conversion.convert(Settings(**(vars(settings) | {"sparse": sparse})))
            check_operators(flatbuffer.operators(content))
            check_zeros(kernels, flatbuffer.zeros(content))
            passed.append((content, run_file(content, folder, sample, tolerance), sparse))
        except ExportError as error:
            if not passed:
                raise
            notes.append(f"zeros are stored, since the file without them failed: {error}")
    return min(passed, key=lambda entry: len(entry[0]))


def _check_model(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {model!r} of type {type(model).__name__}")
    require("tensorflow", "ai_edge_litert")
    if not model.built:
        raise ValueError(
            "`model` must be built: give it a keras.Input, or call it on data once. "
            f"Received: the unbuilt model {model.name!r}"
        )
    stateful = [layer.name for layer in layers_of(model) if getattr(layer, "stateful", False)]
    if stateful:  # the converter freezes the state: the first call is right and the others are not
        raise ValueError(f"A .tflite file cannot hold the state of a stateful layer. Received: {stateful}")


def _on_tensorflow() -> bool:
    import keras

    return keras.backend.backend() == "tensorflow"


def _plain(model: "keras.Model") -> "keras.Model":
    """The model without masks, the zeros written in; the user's own stays as it is.

    A subclassed model cannot be built anew, and stripping it in place would change the user's. It is exported
    as it is: its masked weights are zero already, and its masks, which no call reads, do not reach the file.
    """
    import keras_prune
    from keras_prune.keras_internals import is_graph

    return keras_prune.strip_pruning(model) if is_graph(model) else model
