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
from keras_prune.insight.comparison.compare import check_arguments, compare
from keras_prune.insight.comparison.rows import ModelRow, count, decimal, percent
from keras_prune.layers import prune_layers
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.wrapping import strip_pruning, wrap_pruning
from keras_prune.reporting.progress import track
from keras_prune.reporting.tables import html_table, markdown_table, table
from keras_prune.tracing.checks import check_model
from keras_prune.weights.prune import prune_weights

DENSE, CONTROL = "dense", "control"


@dataclasses.dataclass(frozen=True)
class MethodPoint:
    """One pruned model, or why there is none.

    Args:
        method: `"weights"`, `"channels"`, `"layers"`; `"dense"`, the model as it was given; `"control"`, that model
            trained on for as long as the pruned ones.
        asked: The fraction of the parameters that was to be left; None for these two.
        left: The fraction that is left: of weights those that no mask prunes. None: see `reason`.
        row: What `compare` says of it, likewise.
        reason: Why this size cannot be reached; else empty.
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
class MethodComparison:
    """What `compare_methods` found. Its `str` is a table, in a notebook too.

    Args:
        model: Name of the model.
        epochs: For how long each model was trained on.
        points: Every model, those that could not be made too.
        models: The models by name of their points, without masks and not compiled.
    """

    model: str
    epochs: int
    points: tuple[MethodPoint, ...]
    models: Mapping[str, keras.Model] = dataclasses.field(repr=False)

    def records(self) -> list[dict[str, Any]]:
        """A flat dictionary for each point, for `pandas.DataFrame(comparison.records())`."""
        names = list(next(point.row for point in self.points if point.row is not None).values())
        found = []
        for point in self.points:
            record = {"method": point.method, "asked": point.asked, "left": point.left, "reason": point.reason}
            found.append(record | (dict.fromkeys(names) if point.row is None else point.row.values()))
        return found

    def markdown(self) -> str:
        """The table in Markdown."""
        return markdown_table(*self._table())

    def html(self) -> str:
        """The table as an HTML element."""
        return html_table(*self._table())

    def plot(self, axes: Any = None) -> Any:
        """Draws quality against size, and against latency where it was measured.

        Args:
            axes: Two axes of matplotlib, or None for a new figure.

        Returns:
            The two axes.
        """
        from keras_prune.plots.methods import plot_methods  # here, since only plots need matplotlib

        return plot_methods(self, axes)

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        text = table(f"'{self.model}' pruned, then trained on for {self.epochs} epochs", *self._table())
        reasons = [f"  {point.name}: {point.reason}" for point in self.points if point.reason]
        return text + "".join(f"\n{line}" for line in ["Not reached:", *reasons] if reasons)

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        records = self.records()
        scores = next(point.row for point in self.points if point.row is not None).scores
        columns: list[tuple[str, str, Callable[[float], str]]] = [
            ("asked", "asked", percent),
            ("left", "left", percent),
            *((name, name, decimal) for name in scores),
            ("parameters", "parameters", count),
            ("non-zeros", "non_zeros", count),
            ("MACs", "macs", count),
            ("bytes", "bytes", count),
            ("gzip", "compressed_bytes", count),
            ("ms", "latency_ms", decimal),
        ]
        columns = [each for each in columns if each[1] != "latency_ms" or any(row["latency_ms"] for row in records)]
        lines = [
            (row["method"], *("-" if row[name] is None else write(row[name]) for _, name, write in columns))
            for row in records
        ]
        return ("method", *(heading for heading, _, _ in columns)), lines


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
    export: bool = False,
    seed: int | None = None,
) -> MethodComparison:
    """Prunes one trained model by weights, by channels and by layers, and puts the results side by side.

    At each point all methods leave the same fraction of the model's parameters: of weights, that many are not pruned by
    masks (`prune_weights`, the same sparsity in each layer, rounded to whole weights there); of channels and layers,
    the smaller model has at most that many (`prune_channels`, `prune_layers` with `Budget(params=...)`). Layers are
    coarse, so often less is left than was asked. Each result is trained on for the same number of epochs with a new
    optimizer of the same settings. So is the control, the dense model: what it gains, pruning does not explain. A size
    that a method cannot reach is told with its reason.

    Args:
        model: A trained Sequential or Functional model without masks. It is not changed.
        data: What models are trained on, as `fit` takes it: `(x, y)`, or a dataset that can be read more than once.
        validation_data: `(x, y)` as arrays, which all are judged on, for a model with one output.
        methods: Any of `"weights"`, `"channels"` and `"layers"`.
        points: Fractions of the parameters to leave, in (0, 1).
        epochs: How long each is trained on; 0 for not at all.
        batch_size: Of `(x, y)`.
        optimizer: As `compile` takes it. By default as the model was compiled with, at the learning rate that it has
            now; else Adam.
        loss: As `compile` takes it. By default what the model was compiled with.
        metrics: As `compare` takes them.
        importance: What each method ranks by, if not its default: `{"channels": "taylor"}`. Data for it are `data`.
        export: Whether each is exported as a float32 `.tflite` file, of which sizes and latency are then taken;
            otherwise sizes are those of the weights, and no latency is measured. It takes seconds for each.
        seed: Each training starts with this random state, set for the whole program; None: with the one that is.

    Returns:
        A `MethodComparison`: `print` shows a table, `plot()` draws it, `models` has the models, `records()` the
        numbers.

    Raises:
        ValueError: A subclassed, unbuilt or masked model, an unknown method, a point outside (0, 1), no loss, or data
            that do not fit, as `compare` says.
        TypeError: `model` is no Keras model.
        ImportError: `export` needs the package tflite_export, with TensorFlow and LiteRT.

    Example:

    ```python
    model.compile("adam", "mse")
    comparison = compare_methods(model, (x, y), (x, y), methods=["weights", "channels"], points=[0.5])
    print(comparison)
    comparison.models["channels 0.5"].count_params()
    ```
    """
    check_model(model)
    chosen = _checked(methods, points, epochs, batch_size, importance)
    compiled = _keras.compiled_loss(model)
    loss = loss if loss is not None or compiled is None else compiled[0]
    if loss is None:
        raise ValueError("Training on needs a loss: pass `loss`, or compile the model with one. Received: loss=None")
    metrics = metrics if metrics is not None else _keras.compiled_metrics(model)[0]
    x, y = _validation(validation_data)
    if len(model.outputs) != 1:
        raise ValueError(
            f"Methods are compared on models with one output. Received: '{model.name}' with {len(model.outputs)}"
        )
    settings = _settings(model, optimizer)
    check_arguments({DENSE: model}, x, y, 1, 1)
    compare({DENSE: model}, _head(x), _head(y), loss=loss, metrics=metrics, latency=False)  # whatever is wrong, now

    def train(small: keras.Model) -> keras.Model:
        if seed is not None:
            keras.utils.set_random_seed(seed)
        if epochs:
            small.compile(keras.optimizers.deserialize(settings), loss)
            arrays = isinstance(data, tuple)
            given = {"x": data[0], "y": data[1], "batch_size": batch_size} if arrays else {"x": data}
            if arrays and len(data) > 2:
                given["sample_weight"] = data[2]
            small.fit(**given, epochs=epochs, verbose=0)
        return strip_pruning(small)

    jobs = [(method, point) for method in chosen for point in points]
    models: dict[str, keras.Model] = {DENSE: strip_pruning(model)}
    found: list[MethodPoint] = [MethodPoint(DENSE, None, 1.0, None)]
    for method, point in track([(CONTROL, None), *jobs], len(jobs) + 1, "comparing methods"):
        if point is None:
            found.append(MethodPoint(CONTROL, None, 1.0, None))
            models[CONTROL] = train(strip_pruning(model))
            continue
        try:
            small, left = chosen[method](model, point, (importance or {}).get(method), data, loss)
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
    """A method cannot make a model that small; the message says why."""


def _by_weights(model: keras.Model, point: float, importance: Any, data: Any, loss: Any) -> tuple[keras.Model, float]:
    masked = find_masked(wrap_pruning(model))
    prunable, parameters = sum(each.size for each in masked), model.count_params()
    sparsity = (1 - point) * parameters / max(prunable, 1)
    if sparsity >= 1:
        least = (parameters - prunable) / parameters
        raise Unreachable(f"{parameters - prunable:,} parameters have no masks, {least:.1%} of all: biases, say")
    pruned = prune_weights(model, sparsity, importance=importance or "magnitude", data=data, loss=loss)
    gone = sum(each.size - int(np.count_nonzero(each.kept())) for each in find_masked(pruned))
    return pruned, (parameters - gone) / parameters


def _by_budget(
    prune: Callable[..., Any], model: keras.Model, point: float, importance: Any, data: Any, loss: Any
) -> tuple[keras.Model, float]:
    budget = Budget(params=float(point))
    try:
        small = prune(model, budget=budget, importance=importance or "l2", data=data, loss=loss).model
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


def _checked(methods: Any, points: Any, epochs: Any, batch_size: Any, importance: Any) -> dict[str, Any]:
    names = [methods] if isinstance(methods, str) else list(methods)
    if not names or not set(names) <= set(_METHODS):
        raise ValueError(f"`methods` must be some of {list(_METHODS)}. Received: {methods!r}")
    if not set(importance or {}) <= set(names):
        raise ValueError(f"`importance` is by method, of {names}. Received: {importance!r}")
    fractions = all(isinstance(point, int | float) and 0 < point < 1 for point in points)
    if not fractions or not 0 < len(set(points)) == len(points):
        raise ValueError(f"`points` must be different fractions of the parameters in (0, 1). Received: {points!r}")
    for name, value, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1)):
        if type(value) is not int or value < least:
            raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {value!r}")
    return {name: _METHODS[name] for name in names}


def _validation(data: Any) -> tuple[Any, Any]:
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(f"`validation_data` must be arrays `(x, y)`. Received: {type(data).__name__}")
    return data[0], data[1]


def _settings(model: keras.Model, optimizer: Any) -> dict[str, Any]:
    """The settings of an optimizer, from which each model gets a new one."""
    given = optimizer if optimizer is not None else getattr(model, "optimizer", None)
    found = keras.optimizers.get("adam" if given is None else given)
    return keras.optimizers.serialize(found)


def _head(arrays: Any) -> Any:
    return keras.tree.map_structure(lambda leaf: leaf[:2], arrays)
