"""Allocations of the per-layer sparsity along a path: the same ratio everywhere, or step by step more of the layer with
the smallest drop per saving."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from keras_prune.insight.sensitivity.scan import Sensitivity, SensitivityCurve

Allocation = dict[str, float]
_HALVINGS = 30


@dataclasses.dataclass(frozen=True)
class Step:
    """Step of a path: the ratio of one layer, or channel group, is raised.

    Args:
        name: Of the layer or group.
        before: Its ratio so far.
        after: Its new ratio.
    """

    name: str
    before: float
    after: float


class Path(abc.ABC):
    """Path of allocations from the unpruned model to the smallest one. Ratios only rise along it."""

    @property
    @abc.abstractmethod
    def length(self) -> float:
        """The position of the smallest model; the unpruned one is at 0."""

    @abc.abstractmethod
    def at(self, position: float) -> Allocation:
        """Return the ratio of each layer at a position in [0, length], without those that are 0."""

    def reach(self, cost: Callable[[Allocation], float], target: float) -> Allocation:
        """Return the first allocation on the path whose cost is at most the target; the last one, if none is.

        Args:
            cost: Of an allocation: the fraction kept. It must not rise along the path.
            target: Largest fraction to keep.
        """
        return self.at(first_where(lambda position: cost(self.at(position)) <= target, self.length))


@dataclasses.dataclass(frozen=True)
class UniformPath(Path):
    """Path on which all layers, or channel groups, have the same ratio, as by `prune_channels(model, ratio)`.

    Args:
        names: Of the layers or groups.
        highest: The ratio at the end of the path.
    """

    names: tuple[str, ...]
    highest: float

    @property
    def length(self) -> float:
        return self.highest

    def at(self, position: float) -> Allocation:
        return dict.fromkeys(self.names, position) if position > 0 else {}


@dataclasses.dataclass(frozen=True)
class GreedyPath(Path):
    """Path on which one layer at a time is pruned further: see `greedy_path`.

    Args:
        steps: In order.
    """

    steps: tuple[Step, ...]

    @property
    def length(self) -> float:
        return float(len(self.steps))

    def at(self, position: float) -> Allocation:
        """Return the ratio of each layer after `position` steps; of a fractional last step, that part is made."""
        whole = int(position)
        ratios = {step.name: step.after for step in self.steps[:whole]}
        for step in self.steps[whole : whole + 1]:
            ratios[step.name] = step.before + (position - whole) * (step.after - step.before)
        return {name: ratio for name, ratio in ratios.items() if ratio > 0}


def raised(held: Allocation, allocation: Allocation) -> Allocation:
    """Return the allocation with no ratio below that which is held: what was pruned does not come back."""
    names = [*held, *(name for name in allocation if name not in held)]
    return {name: max(held.get(name, 0.0), allocation.get(name, 0.0)) for name in names}


def first_where(holds: Callable[[float], bool], high: float) -> float:
    """Find by bisection about the lowest number in [0, high] from which on `holds` is true; `high` if it never is."""
    low = 0.0
    if not holds(high):
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def greedy_path(found: Sensitivity, gains: Mapping[str, Sequence[float]]) -> GreedyPath:
    """Return the path that raises in each step the ratio of the layer with the smallest drop per saving.

    A step may skip ratios: where a higher ratio has the same drop as the next one, it is taken at once. Where a layer
    does better with less, the drop counts as 0. Among steps without a drop, the one that saves the most comes first.

    Args:
        found: The sensitivity of each layer alone.
        gains: By name of a layer, what each of its ratios saves.
    """
    curves = {curve.name: _points(found, curve, gains[curve.name]) for curve in found.curves}
    places = dict.fromkeys(curves, 0)
    steps: list[Step] = []
    while True:
        options = [
            (*_price(points[places[name]], points[index]), name, index)
            for name, points in curves.items()
            for index in range(places[name] + 1, len(points))
            if points[index][1] > points[places[name]][1]
        ]
        if not options:
            return GreedyPath(tuple(steps))
        _, _, name, index = min(options, key=lambda option: option[:2])  # the first of equals
        points = curves[name]
        steps.append(Step(name, points[places[name]][0], points[index][0]))
        places[name] = index


def _points(found: Sensitivity, curve: SensitivityCurve, gains: Sequence[float]) -> list[tuple[float, float, float]]:
    """Return ratio, gain and drop of each level; the drop at a ratio is at least that at lower ones."""
    points, worst = [(0.0, 0.0, 0.0)], 0.0
    for ratio, gain, value in zip(found.levels, gains, curve.values, strict=True):
        worst = max(worst, found.drop(value))
        points.append((ratio, gain, worst))
    return points


def _price(here: tuple[float, float, float], there: tuple[float, float, float]) -> tuple[float, float]:
    """Return the drop per saving, and for ties the negative saving."""
    gain = there[1] - here[1]
    drop = there[2] - here[2] if there[2] != here[2] else 0.0  # both may be infinite
    return drop / gain, -gain
