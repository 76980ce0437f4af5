"""`sensitivity`: how the accuracy falls when a single layer, or a single group of channels, is pruned."""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras

from keras_prune.insight.sensitivity.ablations import ChannelScan, Scan, Unit, WeightScan
from keras_prune.insight.sensitivity.cache import MeasuredFile
from keras_prune.measurement.evaluation import BATCH_SIZE, Evaluation, Mode
from keras_prune.measurement.fingerprint import data_fingerprint, fingerprint, model_fingerprint
from keras_prune.patterns import check_patterns, matches
from keras_prune.reporting.progress import track
from keras_prune.reporting.tables import table

Kind = Literal["weights", "channels"]
RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclasses.dataclass(frozen=True)
class SensitivityCurve:
    """The metric with one layer or channel group pruned, and all others whole.

    Args:
        name: Path of the layer, or name of the group.
        size: Its prunable weights, or its channels.
        values: The metric at each ratio, as `Sensitivity.levels` lists them.
        patterns: The name patterns by which `targets=` or `ratios=` mean just this layer or group.
    """

    name: str
    size: int
    values: tuple[float, ...]
    patterns: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """What `sensitivity` found. Its `str` is a table of layers and ratios.

    Args:
        kind: `"weights"` or `"channels"`.
        metric: Name of the metric.
        higher_is_better: Whether it should be high.
        baseline: The metric of the whole model.
        levels: The ratios: how much was pruned of each layer or group, ascending.
        curves: One for each layer or group, in the order of the model.
    """

    kind: Kind
    metric: str
    higher_is_better: bool
    baseline: float
    levels: tuple[float, ...]
    curves: tuple[SensitivityCurve, ...]

    def highest(self, max_drop: float) -> dict[str, float]:
        """By name of the layer or group, how much of it alone can go.

        Args:
            max_drop: How far the metric may be worse than the baseline, in its own units, at least 0.

        Returns:
            The highest ratio such that the metric holds there and at all lower ones; 0 if it never does.

        Raises:
            ValueError: `max_drop` is negative or no number.
        """
        if isinstance(max_drop, bool) or not isinstance(max_drop, int | float) or not max_drop >= 0:
            raise ValueError(f"`max_drop` must be a number, at least 0. Received: max_drop={max_drop!r}")
        return {curve.name: self._highest(curve, max_drop) for curve in self.curves}

    def targets(self, max_drop: float) -> dict[str, float]:
        """The sparsity of each layer that `highest` gives, for `targets=` of `prune_weights` or `PruningSchedule`.

        Together they cost more than each alone: the metric may drop by more than `max_drop`.

        Args:
            max_drop: As in `highest`.

        Raises:
            ValueError: As `highest`, and if channels were pruned: see `ratios`.
        """
        return self._by_pattern("weights", "ratios(max_drop)", max_drop)

    def ratios(self, max_drop: float) -> dict[str, float]:
        """The same for the channel groups: `ratios=` of `prune_channels`.

        Args:
            max_drop: As in `highest`.

        Raises:
            ValueError: As `highest`, and if weights were pruned: see `targets`.
        """
        return self._by_pattern("channels", "targets(max_drop)", max_drop)

    def drop(self, value: float) -> float:
        """How much worse than the baseline a value of the metric is; NaN is infinitely worse."""
        if math.isnan(value):
            return math.inf
        return self.baseline - value if self.higher_is_better else value - self.baseline

    def plot(self, ax: Any = None, highlight: int = 6) -> Any:
        """Draws the curves; see `keras_prune.plots.sensitivity.plot_sensitivity`."""
        from keras_prune.plots.sensitivity import plot_sensitivity  # here, since it needs matplotlib

        return plot_sensitivity(self, ax, highlight)

    def __str__(self) -> str:
        size = "Weights" if self.kind == "weights" else "Channels"
        headings = ("Layer" if self.kind == "weights" else "Group", size, *(f"{ratio:.4g}" for ratio in self.levels))
        rows = [(curve.name, f"{curve.size:,}", *(f"{value:.4g}" for value in curve.values)) for curve in self.curves]
        return table(f"{self.metric} with part of the {self.kind} gone; whole: {self.baseline:.4g}", headings, rows)

    def _highest(self, curve: SensitivityCurve, max_drop: float) -> float:
        held = 0.0
        for ratio, value in zip(self.levels, curve.values, strict=True):
            if not self.drop(value) <= max_drop + 1e-9:  # 0.9 - 0.8 is more than 0.1
                break
            held = ratio
        return held

    def _by_pattern(self, kind: Kind, other: str, max_drop: float) -> dict[str, float]:
        if self.kind != kind:
            raise ValueError(
                f"Sensitivity to the loss of {self.kind} has no such result: use `{other}`. "
                f"Received: kind={self.kind!r}"
            )
        highest = self.highest(max_drop)
        return {pattern: highest[curve.name] for curve in self.curves for pattern in curve.patterns}


def sensitivity(
    model: keras.Model,
    data: Any,
    *,
    kind: Kind = "weights",
    ratios: Sequence[float] = RATIOS,
    metric: str | keras.metrics.Metric | None = None,
    mode: Mode = "auto",
    importance: Any = None,
    loss: Any = None,
    layers: str | Sequence[str] | None = None,
    batch_size: int = BATCH_SIZE,
    cache: str | os.PathLike[str] | None = None,
) -> Sensitivity:
    """Measures how much each layer, or each group of channels, can lose while all others stay whole.

    Nothing is trained: a curve says how a model reacts at once (Li et al. 2017, "Pruning filters for efficient
    ConvNets"; Han et al. 2015). Each number is that of `prune_weights(model, targets={layer: ratio})`, or of
    `prune_channels(model, ratios={producer: ratio})`, evaluated; but weights are zeroed in one compiled copy, which
    takes no more than the evaluation itself. The model is only read.

    Args:
        model: A built model without masks; for weights also one with masks, or a subclassed one.
        data: `(x, y)` or `(x, y, sample_weight)`, or batches of them that can be read more than once. They are held in
            memory. Some hundred samples show the sensitive layers; the smaller the drop that matters, the more.
        kind: `"weights"`: single weights of a layer are zeroed. `"channels"`: filters, units or heads go.
        ratios: The fractions that are tried, each in (0, 1).
        metric: Name of a metric that the model was compiled with; `"loss"`, without penalties of weights; or a Keras
            metric. Default: the first metric that the model was compiled with, or else the loss.
        mode: `"max"` if the metric should be high, `"min"` if low, `"auto"` to tell by the metric or its name.
        importance: Which weights or channels go first; names as in `prune_weights` or `prune_channels`. Default:
            `"magnitude"`, or `"l2"`. One that needs data is measured on `data`.
        loss: As `compile` takes it. Default: the one that the model was compiled with.
        layers: Name pattern, or several: only these layers are tried. Default: all that can be pruned.
        batch_size: Samples in a batch, where `data` are arrays.
        cache: A JSON file to which each number is written when it was measured: a scan that was killed goes on where
            it was, and one that is repeated takes what is there. It holds a fingerprint of the model, the data and the
            settings, `ratios` and `layers` apart.

    Returns:
        A `Sensitivity`. Print it for a table; `plot()` draws its curves.

    Raises:
        ValueError: Ratios outside (0, 1), an unknown kind, importance or layer, data that do not fit the model, a
            metric that the model does not have, a model in which nothing can be pruned, or a `cache` that belongs to
            other measurements or lies in no folder.
        TypeError: An argument of another type.

    Example:

    ```python
    model.compile("adam", "mse")
    scan = sensitivity(model, (x, y), ratios=(0.3, 0.6, 0.9))
    print(scan)
    pruned = prune_weights(model, 0.0, targets=scan.targets(max_drop=0.1))
    small = prune_channels(model, ratios=sensitivity(model, (x, y), kind="channels").ratios(max_drop=0.1)).model
    ```
    """
    levels = _checked_ratios(ratios)
    scan = make_scan(model, data, kind, importance, loss)
    units = _chosen(scan.units, layers)
    evaluation = Evaluation(scan.running, model, data, metric, mode, loss, batch_size)
    settings = (kind, evaluation.name, mode, importance, loss)
    return measure(scan, units, levels, kind, evaluation, cache, settings)


def make_scan(model: keras.Model, data: Any, kind: Kind, importance: Any, loss: Any) -> Scan:
    """A copy of the model to prune in."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}")
    if kind not in ("weights", "channels"):
        raise ValueError(f'`kind` must be "weights" or "channels". Received: kind={kind!r}')
    if kind == "weights":
        return WeightScan(model, "magnitude" if importance is None else importance, data, loss)
    return ChannelScan(model, "l2" if importance is None else importance, data, loss)


def measure(
    scan: Scan,
    units: Sequence[Unit],
    levels: Sequence[float],
    kind: Kind,
    evaluation: Evaluation,
    cache: str | os.PathLike[str] | None = None,
    settings: tuple[Any, ...] = (),
    before_each: Callable[[], None] = lambda: None,
) -> Sensitivity:
    """Prunes each unit at each level, and evaluates.

    Args:
        before_each: Called before each evaluation. What it raises ends the scan; the cache keeps what was measured.
    """
    known = {}
    if cache is not None:
        mark = fingerprint(model_fingerprint(evaluation.model), data_fingerprint(evaluation.batches), settings)
        file = MeasuredFile(cache, mark)
        known = file.values
    todo = [(unit, level) for unit in units for level in levels if (unit.name, level) not in known]
    for unit, level in track(todo, len(todo), f"Sensitivity: {len(todo)} evaluations"):
        before_each()
        with scan.without(unit, level) as pruned:
            known[unit.name, level] = evaluation.of(pruned)
        if cache is not None:
            file.write()
    return Sensitivity(
        kind,
        evaluation.name,
        not evaluation.lower_is_better,
        evaluation.baseline,
        tuple(levels),
        tuple(
            SensitivityCurve(unit.name, unit.size, tuple(known[unit.name, level] for level in levels), unit.patterns)
            for unit in units
        ),
    )


def _checked_ratios(ratios: Any) -> tuple[float, ...]:
    listed = list(ratios) if isinstance(ratios, Sequence) and not isinstance(ratios, str) else None
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) and 0 < each < 1 for each in listed or ()]
    if not numbers or not all(numbers):
        raise ValueError(f"`ratios` must be fractions in (0, 1), at least one. Received: ratios={ratios!r}")
    return tuple(sorted({float(each) for each in listed or ()}))


def _chosen(units: Sequence[Unit], layers: Any) -> list[Unit]:
    if layers is None:
        return list(units)
    patterns = [layers] if isinstance(layers, str) else layers
    if not isinstance(patterns, list | tuple) or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"`layers` must be a name pattern, or a list of them. Received: layers={layers!r}")
    check_patterns(patterns, [path for unit in units for path in unit.paths], "layers")
    return [unit for unit in units if any(matches(pattern, path) for pattern in patterns for path in unit.paths)]
