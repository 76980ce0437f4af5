"""`export`: write a Keras model as a `.tflite` file, once it was run and compared."""

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tflite_export.conversion.convert import Conversion, Settings
from tflite_export.conversion.modes import find_mode
from tflite_export.conversion.sparse import sparse_tries
from tflite_export.errors import ExportError, require
from tflite_export.keras_models.kernels import Kernel, kernels_of
from tflite_export.keras_models.refusals import check_convertible
from tflite_export.keras_models.representative import collected, example_of, standardize_data
from tflite_export.keras_models.signature import (
    build,
    checked_signature,
    inputs_of,
    layers_of,
    standardize,
    structure_of,
    synthetic_inputs,
)
from tflite_export.limits import TIMEOUT, Limits
from tflite_export.other_backends import export_on_tensorflow
from tflite_export.preparation import prepare
from tflite_export.reader import flatbuffer
from tflite_export.report import ExportReport, report_of
from tflite_export.scratch import temporary_folder
from tflite_export.storage import checked_target, write
from tflite_export.validation import check_flag, check_integer, check_number, check_subset
from tflite_export.verification.accuracy import checked_labels
from tflite_export.verification.checks import Run, Sample, check_operators, check_zeros, run_file
from tflite_export.verification.judgement import warn_of_ranges
from tflite_export.verification.left_in_float import warn_of_steps
from tflite_export.verification.reference import output_names, predict, sample_of, whole_batches

if TYPE_CHECKING:
    import keras

ALLOWED = ("flex", "custom")  # operators that are not LiteRT's own


def export(
    model: "keras.Model",
    path: str | os.PathLike[str],
    *,
    quantize: Literal["float16", "dynamic", "int8", "int16x8", "int4"] | None = None,
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
    signature: Any = None,
    allow: Collection[Literal["flex", "custom"]] = (),
    verify: bool = True,
    timeout: float | None = TIMEOUT,
    memory_limit: int | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Write a Keras model as a `.tflite` file, after a check that its outputs are those of Keras.

    Pruning masks are stripped, the zeros written into the weights. The conversion and the check run in subprocesses,
    so a crash of the converter or of LiteRT is an error here; the check loads the file with LiteRT and runs it on the
    same inputs as Keras, with XNNPACK and without. The file is written to `path` only when every check passed; until
    then a file that was there is unchanged. The model is not changed, unless it is unbuilt. On the JAX and PyTorch
    backends the model is saved as a `.keras` file and exported by a subprocess in which Keras runs on TensorFlow; the
    file is compared with Keras there. Models with custom classes must be exported in a process on TensorFlow.

    The file has LiteRT's builtin operators only, unless `allow` names others, and its inputs and outputs in Keras's
    order. Outputs are named `output_0`, `output_1`, ..., or by the keys of the dict that the model returns.

    | `quantize` | weights | computes in | default `tolerance` |
    |---|---|---|---|
    | None | float32 | float32 | 1e-4 |
    | `"float16"` | float16 | float32 | 1e-2 |
    | `"dynamic"` | int8 | int8 where operators can, ranges measured at each call | 0.5 |
    | `"int8"` | int8 | int8, ranges from `representative_data` | 0.5 |
    | `"int16x8"` | int8 | int16, ranges from `representative_data` | 0.5 |
    | `"int4"` | int4 of Dense and convolutions, int8 of depthwise and transposed ones | as `"dynamic"` | 0.5 |

    `"int4"` needs the package `litert-quantizer` (`pip install litert-quantizer`). Other weights, those of embeddings
    too, are float32 in such a file. The tolerances of the quantized modes only tell a broken file from a good one; pass
    `labels` to measure the accuracy.

    Args:
        model: A built model, with pruning masks or without. All axes but the batch have a fixed size, in the model
            or in `signature`.
        path: The file to write, in a folder that exists; ends in `.tflite`.
        quantize: How weights are stored and in which type the file computes; see the table. Defaults to None, float32.
        representative_data: With `"int8"` and `"int16x8"`: real inputs, some hundred: arrays as the model takes them,
            a list of batches, a generator, a function that returns one, or a dataset, whose batches may have targets
            behind them; of the last four the first 1,000 samples are used. Defaults to None; needed by these two.
        input_type: The type of the inputs, with `"int8"` one of `"float32"`, `"int8"`, `"uint8"`, with `"int16x8"`
            one of `"float32"`, `"int16"`. Inputs that are integers in Keras keep their type. Defaults to None,
            `"float32"`.
        output_type: The type of the outputs, likewise.
        per_channel: With quantized weights, whether each output channel has its own scale, which is more exact, or
            each kernel one scale, which keeps values shared. Defaults to None: per channel, unless kernels share
            values (`keras_prune.cluster_weights`).
        sparse: Whether zeros are left out of the file. Defaults to `"auto"`: both files are made where LiteRT runs
            them, and the smaller one is kept. A sparse file loads slower and takes more memory, and is faster only
            where zeros come in blocks: see `check_sparse_speed`.
        inputs: Real inputs for the comparison, as the model takes them, with a batch axis; the first `samples` are
            used. Defaults to None: `representative_data`, or else synthetic inputs, standard normal numbers, and ids
            for Embedding layers. A subclassed model needs them or `signature`: they show the shapes of its inputs.
        labels: The classes of all `inputs`, as integers or one-hot, for a model with one output of scores: the
            accuracy of Keras and of the file is in the report. Defaults to None, no accuracy.
        tolerance: The allowed difference of outputs from Keras's, relative to max(1, max|Keras output|). Defaults to
            None: see the table.
        samples: How many samples are compared, rounded up to whole batches. Defaults to 8.
        batch_size: How many samples the file takes at a time; None: as many as it is given, which a caller sets
            with `resize_tensor_input`. Such a file is compared with batches of several sizes. Recurrent layers need
            a fixed number, unless they are built with `unroll=True`. Defaults to 1.
        signature: The shapes and types of the inputs, where the model leaves them open: `keras.InputSpec` or
            `keras.KerasTensor`, with a batch axis, nested as the model's inputs are (as Keras's own
            `model.export(input_signature=...)` takes them). It fixes sizes that are None in the model, and an unbuilt
            model is built by it. Defaults to None, the model's own.
        allow: Operators that the file may have besides LiteRT's builtin ones: `"flex"`, those of TensorFlow, and
            `"custom"`. A program must be linked with code for them. LiteRT has none here, so a file with such
            operators needs `verify=False`. Defaults to (), none.
        verify: Whether the file is run and compared. Without it, the file is read, and its operators and the zeros
            of its weights are checked; the report has None where nothing was measured. `sparse="auto"` then stores
            zeros, since only a run shows whether a sparse file works. Defaults to True.
        timeout: Seconds that loading the file, or one call of it in the check, may take; None: no limit. Defaults to
            120.
        memory_limit: Bytes that the check may take for the file (on Linux). Defaults to None: the memory of the
            machine.
        overwrite: Whether a file at `path` may be replaced. Defaults to False.

    Returns:
        A report: sizes, differences from Keras, the zeros in each weight, operators, latency.

    Raises:
        ValueError: An argument is not as described; or without `overwrite` a file has appeared at `path` meanwhile,
            which is kept.
        ImportError: TensorFlow, ai-edge-litert or, for `"int4"`, litert-quantizer is not installed.
        ExportError: The model cannot be converted, its outputs are not finite, or the file differs from it.
        OSError: The file cannot be written: the disk is full, say.

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
    tolerance = mode.tolerance if tolerance is None else check_number(tolerance, "tolerance", 0)
    samples = check_integer(samples, "samples", 1)
    batch_size = None if batch_size is None else check_integer(batch_size, "batch_size", 1)
    allowed = check_subset(allow, "allow", ALLOWED)
    verify = check_flag(verify, "verify")
    per_channel = None if per_channel is None else check_flag(per_channel, "per_channel")
    limits = Limits.checked(timeout, memory_limit)
    if not verify and labels is not None:
        raise ValueError("The accuracy for `labels` is measured by the check. Received: labels with verify=False")
    signature = checked_signature(signature, batch_size)
    _check_model(model, signature)
    check_convertible(model)
    stripped = prepare(model)
    data = collected(representative_data)
    given = example_of(data) if inputs is None else inputs
    if data is not None or _on_tensorflow():
        structure = structure_of(model, given if signature is None else signature)
        specs = inputs_of(model, structure, batch_size, signature)
    if data is not None:
        import keras

        representative_data = keras.tree.pack_sequence_as(structure, standardize_data(structure, specs, data))
        given = representative_data if inputs is None else inputs
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
            "signature": signature,
            "allow": allowed,
            "verify": verify,
            "timeout": timeout,
            "memory_limit": memory_limit,
        }
        return export_on_tensorflow(stripped, Path(path), target, overwrite, options)
    kernels = kernels_of(stripped)
    tries = sparse_tries(sparse, mode, kernels, verify)
    batches = None if given is None else standardize(structure, specs, given)
    representative = None
    if representative_data is not None:
        representative = standardize(structure, specs, representative_data, "representative_data")
    truth = checked_labels(labels, None if inputs is None or batches is None else len(batches[0]))
    if per_channel is None:
        per_channel = not any(kernel.is_shared for kernel in kernels)
    settings = Settings(
        mode=mode.name,
        input_type=input_type or mode.port_types[0],
        output_type=output_type or mode.port_types[0],
        per_channel=per_channel,
        sparse=False,
        allow=allowed,
    )

    notes: list[str] = []
    if representative is not None:
        notes += warn_of_ranges([spec.name for spec in specs], representative, None if inputs is None else batches)
    sample, keras_accuracy = None, None
    if verify:
        if batches is None:
            batches = synthetic_inputs(stripped, specs, whole_batches(samples, batch_size))
            notes.append("compared on synthetic inputs; pass real ones as `inputs`")
        sample = sample_of(stripped, structure, batches, samples, batch_size, synthetic=given is None)
        if truth is not None:
            sample = replace(sample, labelled=batches)
            of_keras = predict(stripped, structure, batches, batch_size)
            truth.check(of_keras)
            keras_accuracy = truth.accuracy(of_keras)
        outputs = sample.names
    else:
        notes.append("not verified: the file was neither run in LiteRT nor compared with Keras (verify=False)")
        outputs = output_names(stripped, structure, specs, batch_size)
    with temporary_folder() as folder:
        conversion = Conversion(stripped, structure, specs, outputs, representative, batch_size, folder)
        content, run, is_sparse = _best(conversion, settings, tries, kernels, sample, folder, tolerance, limits, notes)
    write(target, content, overwrite=overwrite)
    return report_of(
        Path(path),
        content,
        run,
        kernels=kernels,
        quantize=mode.name,
        sparse=is_sparse,
        inputs=[spec.name for spec in specs],
        outputs=outputs,
        samples=0 if sample is None else len(sample.inputs[0]),
        batch_size=batch_size,
        tolerance=tolerance,
        notes=notes,
        accuracy=None if truth is None or run is None else truth.accuracy(run.labelled),
        keras_accuracy=keras_accuracy,
    )


def _best(
    conversion: Conversion,
    settings: Settings,
    tries: Sequence[bool],
    kernels: Sequence[Kernel],
    sample: Sample | None,
    folder: Path,
    tolerance: float,
    limits: Limits,
    notes: list[str],
) -> tuple[bytes, Run | None, bool]:
    """The smallest of the files that pass: its bytes, its run, and whether zeros are left out of it.

    Without a sample none is run. The dense one comes first, if it is tried. Its warnings are added to `notes`; if a
    sparse one fails after it, that too.
    """
    passed: list[tuple[bytes, Run | None, bool, list[str]]] = []
    for sparse in tries:
        try:
            content = conversion.convert(replace(settings, sparse=sparse))
            check_operators(flatbuffer.operators(content), settings.allow, sample is not None)
            weights, values = flatbuffer.weights(content), partial(flatbuffer.weight_values, content)
            lines = check_zeros(kernels, flatbuffer.zeros(content), weights, values)
            coarse = warn_of_steps(flatbuffer.read(content))
            try:
                run = None if sample is None else run_file(content, folder, sample, tolerance, limits)
            except ExportError as error:
                raise ExportError("\n".join([*coarse, str(error)])) from error
            lines += coarse
            passed.append((content, run, sparse, lines))
        except ExportError as error:
            if not passed:
                raise
            notes.append(f"zeros are stored, since the file without them failed: {error}")
    content, run, sparse, lines = min(passed, key=lambda entry: len(entry[0]))
    notes += lines
    return content, run, sparse


def _check_model(model: Any, signature: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {model!r} of type {type(model).__name__}")
    require("tensorflow", "ai_edge_litert")
    if not model.built:
        if signature is None:
            raise ValueError(
                "`model` must be built: give it a keras.Input, call it on data once, or pass `signature`. "
                f"Received: the unbuilt model {model.name!r}"
            )
        build(model, signature)
    stateful = [layer.name for layer in layers_of(model) if getattr(layer, "stateful", False)]
    if stateful:  # the converter freezes the state: the first call is right and the others are not
        raise ValueError(f"A .tflite file cannot hold the state of a stateful layer. Received: {stateful}")


def _on_tensorflow() -> bool:
    import keras

    return keras.backend.backend() == "tensorflow"
