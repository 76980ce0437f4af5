"""How much of each layer goes: always a bit more of the layer that costs the least for what it saves."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from keras_prune.insight.sensitivity.scan import Sensitivity, SensitivityCurve

Allocation = dict[str, float]
_HALVINGS = 30


@dataclasses.dataclass(frozen=True)
class Step:
    """One layer, or group of channels, loses more.

    Args:
        name: Which.
        before: The ratio that it had.
        after: The ratio that it gets.
    """

    name: str
    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class GreedyPath:
    """From the whole model to the smallest one, step by step.

    Args:
        steps: In order. Ratios only rise, so what a place on the path prunes, all later ones prune too.
    """

    steps: tuple[Step, ...]

    def at(self, position: float) -> Allocation:
        """The ratio of each layer after so many steps, the last one of which may be made in part."""
        whole = int(position)
        ratios = {step.name: step.after for step in self.steps[:whole]}
        for step in self.steps[whole : whole + 1]:
            ratios[step.name] = step.before + (position - whole) * (step.after - step.before)
        return {name: ratio for name, ratio in ratios.items() if ratio > 0}

    def reach(self, cost: Callable[[Allocation], float], target: float) -> Allocation:
        """The first place on the path where the cost is no more than this; its end, if it is more everywhere.

        Args:
            cost: What an allocation leaves. It must not rise along the path.
            target: What may be left.
        """
        return self.at(first_where(lambda position: cost(self.at(position)) <= target, float(len(self.steps))))


def first_where(holds: Callable[[float], bool], high: float) -> float:
    """About the lowest number from 0 for which it holds, as it does for all above it; `high`, if it holds for none."""
    low = 0.0
    if not holds(high):
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def greedy_path(found: Sensitivity, gains: Mapping[str, Sequence[float]]) -> GreedyPath:
    """Raises, step by step, the ratio of the layer whose metric falls least for what is saved.

    A step may pass over ratios: where the next one is as bad as one further on, it goes there at once. Drops below the
    baseline's noise, where a layer does better with less, count as none. Among steps that cost nothing, the one that
    saves the most comes first.

    Args:
        found: The sensitivity of each layer alone.
        gains: By name what each of the ratios saves, of that layer alone.
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
    """Ratio, gain and drop; the drop at a ratio is no less than at lower ones."""
    points, worst = [(0.0, 0.0, 0.0)], 0.0
    for ratio, gain, value in zip(found.levels, gains, curve.values, strict=True):
        worst = max(worst, found.drop(value))
        points.append((ratio, gain, worst))
    return points


def _price(here: tuple[float, float, float], there: tuple[float, float, float]) -> tuple[float, float]:
    """The drop for each unit that is saved; then, less for what saves more."""
    gain = there[1] - here[1]
    drop = there[2] - here[2] if there[2] != here[2] else 0.0  # both may be infinite
    return drop / gain, -gain
