"""`sensitivity`: how the accuracy falls when one layer, or one channel group, is pruned alone."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras

from keras_prune.insight.sensitivity.ablations import ChannelScan, Scan, Unit, WeightScan
from keras_prune.measurement.evaluation import BATCH_SIZE, Evaluation, Mode
from keras_prune.measurement.measured_file import MeasuredFile
from keras_prune.patterns import check_patterns, matches
from keras_prune.plots.sensitivity import plot_sensitivity
from keras_prune.reporting.progress import Verbose, track, verbosity
from keras_prune.validation import check_choice, check_number, check_path, check_progress, is_fraction
from tflite_export.reporting import Report, Shown, Table

Kind = Literal["weights", "channels"]
RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclasses.dataclass(frozen=True)
class SensitivityCurve(Shown):
    """Metric of the model with one layer or channel group pruned, and no other.

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
class Sensitivity(Report):
    """Metric by layer and ratio: what `sensitivity` returns. Its `str` is a table.

    Args:
        kind: `"weights"` or `"channels"`.
        metric: Name of the metric.
        higher_is_better: Whether it should be high.
        baseline: The metric of the whole model.
        levels: The ratios: the fractions that were pruned of each layer or group, ascending.
        curves: One for each layer or group, in the order of the model.
    """

    kind: Kind
    metric: str
    higher_is_better: bool
    baseline: float
    levels: tuple[float, ...]
    curves: tuple[SensitivityCurve, ...]

    def highest(self, max_drop: float) -> dict[str, float]:
        """Return the fraction of each layer or group that can be pruned alone, by name.

        Args:
            max_drop: How far the metric may be worse than the baseline, in its own units, at least 0.

        Returns:
            The highest ratio such that the metric holds there and at all lower ones; 0 if it never does.

        Raises:
            ValueError: `max_drop` is negative or no number.
        """
        max_drop = check_number(max_drop, "max_drop", 0.0)
        return {curve.name: self._highest(curve, max_drop) for curve in self.curves}

    def targets(self, max_drop: float) -> dict[str, float]:
        """Return the per-layer sparsity that `highest` gives, for `targets=` of `prune_weights` or `PruningSchedule`.

        With all layers pruned together the metric may drop by more than `max_drop`.

        Args:
            max_drop: As in `highest`.

        Raises:
            ValueError: As `highest`, and if channels were pruned: see `ratios`.
        """
        return self._by_pattern("weights", "ratios(max_drop)", max_drop)

    def ratios(self, max_drop: float) -> dict[str, float]:
        """Return the same for the channel groups: `ratios=` of `prune_channels`.

        Args:
            max_drop: As in `highest`.

        Raises:
            ValueError: As `highest`, and if weights were pruned: see `targets`.
        """
        return self._by_pattern("channels", "targets(max_drop)", max_drop)

    def drop(self, value: float) -> float:
        """Return how much worse than the baseline a value of the metric is; NaN is infinitely worse."""
        if math.isnan(value):
            return math.inf
        return self.baseline - value if self.higher_is_better else value - self.baseline

    def plot(self, ax: Any = None, highlight: int = 6) -> Any:
        """Draw the curves: see `keras_prune.plots.plot_sensitivity`.

        Args:
            ax: Axes of matplotlib to draw on. Defaults to those of a new figure.
            highlight: How many of the most sensitive are in colour, at most 8. Defaults to 6.

        Returns:
            The axes.
        """
        return plot_sensitivity(self, ax, highlight)

    def _tables(self) -> Sequence[Table]:
        size = "Weights" if self.kind == "weights" else "Channels"
        headings = ("Layer" if self.kind == "weights" else "Group", size, *(f"{ratio:.4g}" for ratio in self.levels))
        rows = [(curve.name, f"{curve.size:,}", *(f"{value:.4g}" for value in curve.values)) for curve in self.curves]
        title = f"{self.metric} by fraction of the {self.kind} removed; unpruned: {self.baseline:.4g}"
        return [Table(headings, rows, title)]

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """A record for each layer or group and ratio."""
        return [
            {"name": curve.name, "size": curve.size, "ratio": ratio, "value": value, "drop": self.drop(value)}
            for curve in self.curves
            for ratio, value in zip(self.levels, curve.values, strict=True)
        ]

    def _facts(self) -> Mapping[str, Any]:
        names = ("kind", "metric", "higher_is_better", "baseline", "levels")
        patterns = {curve.name: curve.patterns for curve in self.curves}
        return {**{name: getattr(self, name) for name in names}, "patterns": patterns}

    def _highest(self, curve: SensitivityCurve, max_drop: float) -> float:
        """The highest ratio such that the metric holds there and at all lower ones."""
        held = 0.0
        for ratio, value in zip(self.levels, curve.values, strict=True):
            if not self.drop(value) <= max_drop + 1e-9:  # 0.9 - 0.8 is more than 0.1
                break
            held = ratio
        return held

    def _by_pattern(self, kind: Kind, other: str, max_drop: float) -> dict[str, float]:
        """What `highest` returns, by name pattern."""
        if self.kind != kind:
            raise ValueError(
                f"This sensitivity is to the pruning of {self.kind}: use `{other}`. Received: kind={self.kind!r}"
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
    verbose: Verbose = "auto",
) -> Sensitivity:
    """Measure the sensitivity of a model to the pruning of each layer, or of each channel group, alone.

    Nothing is fine-tuned: a curve shows how the metric falls at once (Li et al. 2017, "Pruning filters for efficient
    ConvNets"; Han et al. 2015). Each number is that of `prune_weights(model, targets={layer: ratio})`, or of
    `prune_channels(model, ratios={producer: ratio})`, evaluated; but weights are zeroed in one compiled copy, which
    takes no more time than the evaluation itself. The model is only read.

    Args:
        model: Built model without masks; for weights also one with masks, or a subclassed one.
        data: `(x, y)` or `(x, y, sample_weight)`, or batches of them that can be read more than once. They are held in
            memory. Some hundred samples show the sensitive layers; small drops need more.
        kind: `"weights"` (the default): weights of a layer are zeroed. `"channels"`: filters, units or heads are
            removed.
        ratios: The fractions that are tried, each in (0, 1). Defaults to 0.1, 0.2, ... 0.9.
        metric: Name of a metric that the model was compiled with; `"loss"`, without penalties of weights; or a Keras
            metric. Defaults to the first metric that the model was compiled with, or else the loss.
        mode: `"max"` if the metric should be high, `"min"` if low, `"auto"` (the default) to tell by the metric or its
            name.
        importance: Importance criterion, by which the lowest are pruned first; names as in `prune_weights` or
            `prune_channels`. Defaults to `"magnitude"`, or `"l2"` for channels. One that needs data is measured on
            `data`.
        loss: As `compile` takes it. Defaults to the one that the model was compiled with.
        layers: Name pattern, or several: only these layers are tried. Defaults to all that can be pruned.
        batch_size: Samples in a batch, where `data` are arrays. Defaults to 256.
        cache: JSON file to which each number is written as soon as it is measured: an interrupted scan continues from
            it, and a repeated one takes what is there. It holds a fingerprint of the model, the data and the settings,
            except `ratios` and `layers`. Defaults to None: no file.
        verbose: What is printed: 0 nothing, 1 a progress bar, 2 a line for each evaluation, `"auto"` a bar if it takes
            long. Where output is no terminal, some lines stand for a bar. Defaults to `"auto"`.

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
    levels, verbose = _checked_ratios(ratios), check_progress(verbose)
    scan = make_scan(model, data, kind, importance, loss)
    units = _chosen(scan.units, layers)
    evaluation = Evaluation(scan.running, model, data, metric, mode, loss, batch_size)
    settings = {"kind": kind, "metric": evaluation.name, "mode": mode, "importance": importance, "loss": loss}
    with verbosity(verbose):
        return measure(scan, units, levels, kind, evaluation, cache, settings)


def make_scan(model: keras.Model, data: Any, kind: Kind, importance: Any, loss: Any) -> Scan:
    """Return a copy of the model to prune in, with its layers or channel groups."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={model!r}")
    check_choice(kind, "kind", ("weights", "channels"))
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
    settings: Mapping[str, Any] | None = None,
    before_each: Callable[[], None] = lambda: None,
) -> Sensitivity:
    """Prune each unit at each level, and evaluate.

    Args:
        scan: The copy of the model to prune in.
        units: What is pruned alone.
        levels: The fractions that are pruned.
        kind: `"weights"` or `"channels"`.
        evaluation: What computes the metric.
        cache: As in `sensitivity`. Defaults to None: no file.
        settings: What the numbers depend on besides the model and the data, by name, for the cache. Defaults to
            None: nothing.
        before_each: Called before each evaluation. What it raises ends the scan; the cache keeps what was measured.
            Defaults to a function that does nothing.
    """
    known = {}
    if cache is not None:
        file = MeasuredFile.of(check_path(cache, "cache"), evaluation.model, evaluation.batches, settings or {})
        known = file.values
    todo = [(unit, level) for unit in units for level in levels if (unit.name, level) not in known]
    for unit, level in track(todo, len(todo), "Sensitivity"):
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
    """The fractions in ascending order."""
    listed = list(ratios) if isinstance(ratios, Sequence) and not isinstance(ratios, str) else []
    if not listed or not all(is_fraction(each, zero=False) for each in listed):
        raise ValueError(f"`ratios` must be fractions in (0, 1), at least one. Received: ratios={ratios!r}")
    return tuple(sorted(map(float, set(listed))))


def _chosen(units: Sequence[Unit], layers: Any) -> list[Unit]:
    """The units of which a layer has one of these names."""
    if layers is None:
        return list(units)
    patterns = [layers] if isinstance(layers, str) else layers
    if not isinstance(patterns, list | tuple) or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"`layers` must be a name pattern, or a list of them. Received: layers={layers!r}")
    check_patterns(patterns, [path for unit in units for path in unit.paths], "layers")
    return [unit for unit in units if any(matches(pattern, path) for pattern in patterns for path in unit.paths)]
