"""`compare_methods`: one model pruned by weights, by channels and by layers, at equal sizes."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.channels import prune_channels
from keras_prune.costs import Budget
from keras_prune.expansion.follow import as_graph
from keras_prune.insight.comparison.compare import check_arguments, compare
from keras_prune.insight.comparison.rows import ModelRow, count, decimal, percent
from keras_prune.layers import prune_layers
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.wrapping import add_masks, remove_masks
from keras_prune.measurement.training import check_optimizer, check_training_data
from keras_prune.plots.methods import plot_methods
from keras_prune.reconstruction.refitting.refit import compensation_batches
from keras_prune.reporting.progress import track
from keras_prune.validation import check_flag, check_integer, is_fraction
from keras_prune.weights.prune import prune_weights
from tflite_export.reporting import Report, Shown, Table

DENSE, CONTROL = "dense", "control"


@dataclasses.dataclass(frozen=True)
class MethodPoint(Shown):
    """Pruned model, or the reason why there is none.

    Args:
        method: `"weights"`, `"channels"`, `"layers"`; `"dense"`, the model as it was given; `"control"`, that model
            fine-tuned for as long as the pruned ones.
        asked: The fraction of the parameters that was to be kept; None for these two.
        left: The fraction that was kept: of weights those that no mask prunes. None: see `reason`.
        row: What `compare` says of it, likewise.
        reason: Why this size cannot be reached. Defaults to "": it was reached.
    """

    method: str
    asked: float | None
    left: float | None
    row: ModelRow | None
    reason: str = ""

    @property
    def name(self) -> str:
        """Its name among `MethodComparison.models`: `"channels 0.25"`."""
        return self.method if self.asked is None else f"{self.method} {self.asked:g}"


@dataclasses.dataclass(frozen=True)
class MethodComparison(Report):
    """Methods of pruning side by side: what `compare_methods` returns. Its `str` is a table, in a notebook too.

    Args:
        model: Name of the model.
        epochs: For how long each model was fine-tuned.
        points: Every model, those that could not be made too.
        models: The models by name of their points, without masks and not compiled.
    """

    model: str
    epochs: int
    points: tuple[MethodPoint, ...]
    models: Mapping[str, keras.Model] = dataclasses.field(repr=False)

    def plot(self, ax: Any = None, cost: str = "compressed_bytes") -> Any:
        """Draw the quality against a cost, a line for each method: see `keras_prune.plots.plot_methods`.

        Args:
            ax: Axes of matplotlib to draw on. Defaults to those of a new figure.
            cost: A name of a cost in `records()`: `"macs"`, say. Defaults to `"compressed_bytes"`.

        Returns:
            The axes.
        """
        return plot_methods(self, ax, cost)

    def _tables(self) -> Sequence[Table]:
        records = self.records()
        scores = next(point.row for point in self.points if point.row is not None).scores
        columns: list[tuple[str, str, Callable[[float], str]]] = [
            ("To keep", "asked", percent),
            ("Kept", "left", percent),
            *((name, name, decimal) for name in scores),
            ("Parameters", "parameters", count),
            ("Non-zeros", "non_zeros", count),
            ("MACs", "macs", count),
            ("Bytes", "bytes", count),
            ("After gzip", "compressed_bytes", count),
            ("ms", "latency_ms", decimal),
        ]
        columns = [each for each in columns if each[1] != "latency_ms" or any(row["latency_ms"] for row in records)]
        lines = [
            (row["method"], *("-" if row[name] is None else write(row[name]) for _, name, write in columns))
            for row in records
        ]
        headings = ("Method", *(heading for heading, _, _ in columns))
        return [Table(headings, lines, f"'{self.model}' pruned, then fine-tuned for {self.epochs} epochs")]

    def _unmet(self) -> Sequence[str]:
        reasons = [f"  {point.name}: {point.reason}" for point in self.points if point.reason]
        return ["Not reached:", *reasons] if reasons else []

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        names = list(next(point.row for point in self.points if point.row is not None).values())
        found = []
        for point in self.points:
            record = {"method": point.method, "asked": point.asked, "left": point.left, "reason": point.reason}
            found.append(record | (dict.fromkeys(names) if point.row is None else point.row.values()))
        return found

    def _facts(self) -> Mapping[str, Any]:
        return {"model": self.model, "epochs": self.epochs}


def compare_methods(
    model: keras.Model,
    data: Any,
    validation_data: tuple[Any, Any],
    *,
    methods: Sequence[str] = ("weights", "channels", "layers"),
    points: Sequence[float] = (0.5, 0.25, 0.1),
    epochs: int = 1,
    batch_size: int = 32,
    optimizer: Any = None,
    loss: Any = None,
    metrics: Any = None,
    importance: Mapping[str, Any] | None = None,
    compensate: Any = None,
    export: bool = False,
    seed: int | None = None,
) -> MethodComparison:
    """Compare pruning of weights, of channels and of layers: one trained model, at equal sizes.

    At each point all methods keep the same fraction of the model's parameters: of weights, that many are not pruned by
    masks (`prune_weights`, the same sparsity in each layer, rounded to whole weights there); of channels and layers,
    the smaller model has at most that many (`prune_channels`, `prune_layers` with `Budget(params=...)`). Layers are
    coarse, so often less is kept than was asked. Each result is fine-tuned for the same number of epochs with a new
    optimizer of the same settings. So is the control, the dense model: what it gains, pruning does not explain. A size
    that a method cannot reach is reported with the reason.

    Args:
        model: Trained model without masks; see `expand` for those that are no graph. It is not changed.
        data: What models are fine-tuned with, as `fit` takes it: `(x, y)`, or a dataset that can be read more than
            once.
        validation_data: `(x, y)` as arrays, which all are scored on, for a model with one output.
        methods: Any of `"weights"`, `"channels"` and `"layers"`. Defaults to all three.
        points: Fractions of the parameters to keep, in (0, 1). Defaults to `(0.5, 0.25, 0.1)`.
        epochs: How long each is fine-tuned; 0 for not at all. Defaults to 1.
        batch_size: Of `(x, y)`. Defaults to 32.
        optimizer: As `compile` takes it. Defaults to the one that the model was compiled with, at the learning rate
            that it has now; else Adam.
        loss: As `compile` takes it. Defaults to the one that the model was compiled with.
        metrics: As `compare` takes them. Defaults to those that the model was compiled with.
        importance: Importance criterion by method: `{"channels": "taylor"}`. Data for it are `data`. Defaults to None:
            the default of each method.
        compensate: Inputs, as `prune_channels` takes them, on which models with fewer channels or layers are
            compensated before they are fine-tuned. Defaults to None: they are not.
        export: Whether each is exported as a float32 `.tflite` file, of which sizes and latency are then taken;
            otherwise sizes are those of the weights, and no latency is measured. It takes seconds for each. Defaults to
            False.
        seed: Random state at the start of each training, set for the whole program. Defaults to None: it is not set.

    Returns:
        A `MethodComparison`: print it for a table, `plot()` draws it, `models` has the models, `records()` the numbers.

    Raises:
        ValueError: An unbuilt or masked model, or one that cannot be written out, an unknown method, a point outside
            (0, 1), no loss, or data that do not fit, as `compare` says.
        TypeError: `model` is no Keras model.
        ImportError: `export=True`, and TensorFlow or LiteRT is not installed.

    Example:

    ```python
    model.compile("adam", "mse")
    comparison = compare_methods(model, (x, y), (x, y), methods=["weights", "channels"], points=[0.5])
    print(comparison)
    comparison.models["channels 0.5"].count_params()
    ```
    """
    model = as_graph(model)
    chosen = _checked(methods, points, importance)
    epochs, batch_size = check_integer(epochs, "epochs"), check_integer(batch_size, "batch_size", 1)
    export = check_flag(export, "export")
    if isinstance(compensate, str):
        raise ValueError(f"`compensate` must be inputs. Received: compensate={compensate!r}")
    if compensate is not None:
        compensation_batches(model, compensate)  # what is wrong shows now
    seed = None if seed is None else check_integer(seed, "seed", 0, 2**32 - 1)
    compiled = _keras.compiled_loss(model)
    loss = loss if loss is not None or compiled is None else compiled[0]
    if loss is None:
        raise ValueError("Fine-tuning needs a loss: pass `loss`, or compile the model with one. Received: loss=None")
    metrics = metrics if metrics is not None else _keras.compiled_metrics(model)[0]
    x, y = _validation(validation_data)
    if len(model.outputs) != 1:
        raise ValueError(
            f"Methods are compared on models with one output. Received: '{model.name}' with {len(model.outputs)}"
        )
    check_optimizer(optimizer)
    settings = _settings(model, optimizer)
    check_training_data(data, "data", model)
    check_arguments({DENSE: model}, x, y)
    compare({DENSE: model}, _head(x), _head(y), loss=loss, metrics=metrics, latency=False)  # what is wrong shows now

    def train(small: keras.Model) -> keras.Model:
        """The model fine-tuned, without masks."""
        if seed is not None:
            keras.utils.set_random_seed(seed)
        if epochs:
            small.compile(keras.optimizers.deserialize(settings), loss)
            arrays = isinstance(data, tuple)
            given = {"x": data[0], "y": data[1], "batch_size": batch_size} if arrays else {"x": data}
            if arrays and len(data) > 2:
                given["sample_weight"] = data[2]
            small.fit(**given, epochs=epochs, verbose=0)
        return remove_masks(small)

    jobs = [(method, point) for method in chosen for point in points]
    models: dict[str, keras.Model] = {DENSE: remove_masks(model)}
    found: list[MethodPoint] = [MethodPoint(DENSE, None, 1.0, None)]
    for method, point in track([(CONTROL, None), *jobs], len(jobs) + 1, "comparing methods"):
        if point is None:
            found.append(MethodPoint(CONTROL, None, 1.0, None))
            models[CONTROL] = train(remove_masks(model))
            continue
        try:
            small, left = chosen[method](model, point, (importance or {}).get(method), data, loss, compensate)
        except Unreachable as error:
            found.append(MethodPoint(method, point, None, None, str(error)))
            continue
        found.append(MethodPoint(method, point, left, None))
        models[found[-1].name] = train(small)
    rows = compare(models, x, y, loss=loss, metrics=metrics, latency=export, export=export).rows
    of = {row.name: row for row in rows}
    return MethodComparison(
        model.name, epochs, tuple(dataclasses.replace(each, row=of.get(each.name)) for each in found), models
    )


class Unreachable(Exception):
    """Error of a method that cannot make a model that small; the message says why."""


def _by_weights(
    model: keras.Model, point: float, importance: Any, data: Any, loss: Any, compensate: Any
) -> tuple[keras.Model, float]:
    """A model with that fraction of its parameters not pruned by masks, and the fraction that it has.

    It is not compensated: that is for models with fewer channels or layers.
    """
    masked = find_masked(add_masks(model))
    prunable, parameters = sum(each.size for each in masked), model.count_params()
    sparsity = (1 - point) * parameters / max(prunable, 1)
    if sparsity >= 1:
        least = (parameters - prunable) / parameters
        raise Unreachable(f"{parameters - prunable:,} parameters have no masks, {least:.1%} of all: biases, say")
    pruned = prune_weights(model, sparsity, importance=importance or "magnitude", data=data, loss=loss)
    zeros = sum(each.size - int(np.count_nonzero(each.kept())) for each in find_masked(pruned))
    return pruned, (parameters - zeros) / parameters


def _by_budget(
    prune: Callable[..., Any], model: keras.Model, point: float, importance: Any, data: Any, loss: Any, compensate: Any
) -> tuple[keras.Model, float]:
    """A smaller model with at most that fraction of the parameters, and the fraction that it has."""
    budget = Budget(params=float(point))
    try:
        asked = {"importance": importance or "l2", "data": data, "loss": loss, "compensate": compensate}
        small = prune(model, budget=budget, **asked).model
    except ValueError as error:
        if "budget cannot be met" not in str(error):
            raise
        raise Unreachable(str(error).split("Received:")[0].strip()) from error
    return small, small.count_params() / model.count_params()


_METHODS: dict[str, Any] = {
    "weights": _by_weights,
    "channels": functools.partial(_by_budget, prune_channels),
    "layers": functools.partial(_by_budget, prune_layers),
}


def _checked(methods: Any, points: Any, importance: Any) -> dict[str, Any]:
    """The functions of the chosen methods by name."""
    names = [methods] if isinstance(methods, str) else list(methods) if isinstance(methods, Sequence) else []
    if not names or not all(isinstance(name, str) and name in _METHODS for name in names):
        raise ValueError(f"`methods` must be some of {list(_METHODS)}. Received: methods={methods!r}")
    if importance is not None and (not isinstance(importance, Mapping) or not set(importance) <= set(names)):
        raise ValueError(
            f"`importance` must be a dictionary by method, of {names}. Received: importance={importance!r}"
        )
    listed = points if isinstance(points, Sequence) and not isinstance(points, str | bytes) else ()
    if not all(is_fraction(point, zero=False) for point in listed) or not 0 < len(set(listed)) == len(listed):
        raise ValueError(
            f"`points` must be different fractions of the parameters in (0, 1). Received: points={points!r}"
        )
    return {name: _METHODS[name] for name in names}


def _validation(data: Any) -> tuple[Any, Any]:
    """Inputs and targets."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(f"`validation_data` must be arrays `(x, y)`. Received: {type(data).__name__}")
    return data[0], data[1]


def _settings(model: keras.Model, optimizer: Any) -> dict[str, Any]:
    """The settings of an optimizer, from which each model gets a new one."""
    given = optimizer if optimizer is not None else getattr(model, "optimizer", None)
    found = keras.optimizers.get("adam" if given is None else given)
    return keras.optimizers.serialize(found)


def _head(arrays: Any) -> Any:
    """The first two samples."""
    return keras.tree.map_structure(lambda leaf: leaf[:2], arrays)
