"""`compare`: Keras models and `.tflite` files side by side."""

import dataclasses
import os
import zlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

import tflite_export
from keras_prune import _keras
from keras_prune.costs.model_cost import cost
from keras_prune.insight.comparison.rows import ModelComparison, ModelRow
from keras_prune.insight.comparison.scoring import Scorer
from keras_prune.insight.comparison.timing import call_times, outputs_of
from keras_prune.masking.masked_weights import plain_weights
from keras_prune.measurement.batches import check_inputs, shapes
from keras_prune.reporting.progress import track
from keras_prune.validation import check_flag, check_integer
from tflite_export.scratch import temporary_folder


def compare(
    models: Mapping[str, keras.Model | str | os.PathLike[str]],
    x: Any = None,
    y: Any = None,
    *,
    loss: Any = None,
    metrics: Any = None,
    batch_size: int = 256,
    latency: bool = True,
    runs: int = 50,
    export: bool = False,
) -> ModelComparison:
    """Compare Keras models and `.tflite` files: quality, size, work and time, with ratios to the first.

    All are scored by their outputs on all of `x`, with the same loss and metrics, those of Keras as those of a file.
    (Penalties that layers add to the loss are not in it.) The models are only read.

    Args:
        models: By name: built Keras models, with masks or without, and paths of `.tflite` files.
        x: Inputs, as all of the models take them: an array, or lists or dicts of arrays. Defaults to None: nothing is
            run.
        y: The targets, as `fit` takes them: of models with several outputs a list or dict. Defaults to None: there are
            no scores.
        loss: As `compile` takes it, for several outputs too. Defaults to that of the first model that is compiled; else
            there is none.
        metrics: A name, `keras.metrics.Metric` or function, or lists or dicts of them, as `compile` takes them.
            Defaults to those of the first model that is compiled; else accuracy, if `y` holds class indices and the one
            output their scores.
        batch_size: Samples in a batch, for Keras models. Files take one at a time. Defaults to 256.
        latency: Whether to time calls with one sample, the first of `x`: of Keras models `predict_on_batch`, which
            includes the overhead of a call from Python; of files LiteRT with one thread. Only calls of the same kind
            compare: see `export`. Defaults to True.
        runs: How many calls are timed; the median counts. Defaults to 50.
        export: Whether to export Keras models too, as float32 files that are then deleted, and take their size and
            latency, which compare with those of other files. It takes seconds for each. Everything else is that of the
            Keras model. Defaults to False.

    Returns:
        A `ModelComparison`: print it for a table; `records()` has the numbers, `plot()` draws the ratios.

    Raises:
        ValueError: No models; one that is not built; a file that is missing, damaged or no `.tflite` file; data of the
            wrong shape or length; a loss or metric that Keras does not know, or that cannot be computed from the
            outputs.
        TypeError: Something that is neither a model nor a path.
        ImportError: There is a file, or `export=True`, and LiteRT is not installed.

    Example:

    ```python
    comparison = compare({"dense": model, "pruned": prune_weights(model, 0.5)}, x, y, loss="mse", metrics=["mae"])
    print(comparison)
    comparison.records()[1]["effective_macs_ratio"]  # 0.5
    ```
    """
    check_arguments(models, x, y)
    batch_size, runs = check_integer(batch_size, "batch_size", 1), check_integer(runs, "runs", 1)
    latency, export = check_flag(latency, "latency"), check_flag(export, "export")
    given = {name: model for name, model in models.items() if isinstance(model, keras.Model)}
    scorer = Scorer(list(given.values()), loss, metrics)
    files = {name: os.fspath(model) for name, model in models.items() if not isinstance(model, keras.Model)}
    rows = {name: _row_of_file(name, path) for name, path in files.items()}  # before anything takes long
    for name, model in given.items():
        rows[name] = _row_of_model(name, model)
        if x is not None and _keras.has_graph(model):
            check_inputs(model, keras.tree.map_structure(np.asarray, x))
    rows = {name: rows[name] for name in models}
    if y is not None:
        targets = keras.tree.map_structure(np.asarray, y)
        for name in track(list(models), len(models), "comparing models"):
            if name in given:
                outputs = outputs_of(given[name], x, batch_size)
            else:
                outputs = scorer.arranged(_outputs_of_file(files[name], x))
            rows[name] = dataclasses.replace(rows[name], scores=scorer.scores(targets, outputs))
    with temporary_folder("keras_prune_") as folder:
        if export:
            for index, (name, model) in enumerate(given.items()):
                files[name] = os.fspath(folder / f"{index}.tflite")
                tflite_export.export(model, files[name])
                size = tflite_export.inspect(files[name])
                rows[name] = dataclasses.replace(
                    rows[name], bytes=size.bytes, compressed_bytes=size.gzip_bytes or 0, bytes_of="file"
                )
        if latency and x is not None:
            rows |= _timed(rows, given, files, x, runs)
    return ModelComparison(tuple(rows.values()))


def check_arguments(models: Any, x: Any, y: Any) -> None:
    """Raise unless these are models, and data of one length."""
    if not isinstance(models, Mapping) or not models:
        raise ValueError(f"`models` must be a dictionary of at least one model by name. Received: {models!r}")
    for name, model in models.items():
        if not isinstance(name, str) or not isinstance(model, keras.Model | str | os.PathLike):
            raise TypeError(
                "`models` must hold Keras models and paths of .tflite files by name. "
                f"Received: {name!r}: {type(model).__name__}"
            )
    if y is not None and x is None:
        raise ValueError("`y` are the targets of `x`: pass both. Received: y without x")
    lengths = {len(leaf) if np.ndim(leaf) else 0 for leaf in keras.tree.flatten((x, y)) if leaf is not None}
    if len(lengths) > 1 or 0 in lengths:
        found = keras.tree.map_structure(np.asarray, (x, y))
        raise ValueError(
            "`x` and `y` must hold one entry for each sample, and at least one. "
            f"Received: x of shape {shapes(found[0])}, y of shape {shapes(found[1])}"
        )


def _row_of_model(name: str, model: keras.Model) -> ModelRow:
    """Size and work of a Keras model, whose weights are compressed as they are stored."""
    costs = cost(model)
    size, zip_stream, non_zeros = 0, zlib.compressobj(9, wbits=31), 0
    for weight in plain_weights(model):
        values = _keras.as_numpy(weight)
        non_zeros += int(np.count_nonzero(values))
        size += len(zip_stream.compress(np.ascontiguousarray(values).tobytes()))
    return ModelRow(
        name=name,
        kind="Keras",
        scores={},
        parameters=costs.parameters,
        non_zeros=non_zeros,
        macs=costs.macs,
        effective_macs=costs.effective_macs,
        bytes=costs.weight_bytes,
        compressed_bytes=size + len(zip_stream.flush()),
        bytes_of="weights",
    )


def _row_of_file(name: str, path: str) -> ModelRow:
    """Size and work of a file."""
    found = tflite_export.inspect(path)
    return ModelRow(
        name=name,
        kind=".tflite",
        scores={},
        parameters=found.parameters,
        non_zeros=found.non_zeros,
        macs=found.macs,
        effective_macs=found.effective_macs,
        bytes=found.bytes,
        compressed_bytes=found.gzip_bytes or 0,  # never None: `inspect` measures it by default
        bytes_of="file",
    )


def _outputs_of_file(path: str, x: Any) -> list[np.ndarray]:
    """All outputs of a file for all samples."""
    outputs = tflite_export.predict(path, x)
    return outputs if isinstance(outputs, list) else [outputs]


def _timed(
    rows: Mapping[str, ModelRow], models: Mapping[str, keras.Model], files: Mapping[str, str], x: Any, runs: int
) -> dict[str, ModelRow]:
    """The rows with their latency: that of the file where there is one."""
    live = {name: model for name, model in models.items() if name not in files}
    times = dict(zip(live, call_times(list(live.values()), x, runs), strict=True)) if live else {}
    if files:
        benchmark = tflite_export.benchmark(list(files.values()), runs=runs, inputs=_first(x))
        times |= {name: timing.median_ms for name, timing in zip(files, benchmark.timings, strict=True)}
    return {
        name: dataclasses.replace(row, latency_ms=times[name], latency_in="LiteRT" if name in files else "Keras")
        for name, row in rows.items()
    }


def _first(x: Any) -> Any:
    """The first sample."""
    return keras.tree.map_structure(lambda leaf: np.asarray(leaf[:1]), x)
