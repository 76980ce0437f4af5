"""Budgets: what a model may cost, and the shortest part of a queue that must go for it."""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

import tflite_export
from keras_prune.costs.counting import Costs
from keras_prune.costs.macs_change import unknown_macs
from keras_prune.tracing.kept_channels import Kept

_PROBES = 7  # exported files for a budget of latency: each halves what is left to search


@dataclasses.dataclass(frozen=True, repr=False)
class Budget:
    """What the smaller model may cost. All that are given must hold.

    A `float` in (0, 1) is a fraction of what the original model costs, an `int` a number. Channels go until the costs
    are no longer above it: with one channel group one channel larger they would be.

    Args:
        macs: Multiply-accumulates of one forward pass; of a model of which they are known (see `cost`).
        params: Number of weights.
        bytes: Bytes of the weights, as they are stored.
        latency: Fraction of the original's latency, measured on the exported `.tflite` file on this machine. It needs
            the package tflite_export, and takes an export for each of some eight probes. What a clock says is noisy,
            so it is met as far as can be measured.

    Raises:
        ValueError: No value, or one that is neither a fraction in (0, 1) nor a positive integer.

    Example:

    ```python
    result = prune_channels(model, budget=Budget(macs=0.5))
    print(result.report.macs_after / result.report.macs_before)  # at most 0.5
    ```
    """

    macs: float | int | None = None
    params: float | int | None = None
    bytes: float | int | None = None
    latency: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            fraction = isinstance(value, float) and 0 < value < 1
            number = isinstance(value, int) and not isinstance(value, bool) and value > 0
            if not fraction and (name == "latency" or not number):
                allowed = "a fraction in (0, 1)" + ("" if name == "latency" else ", or a positive integer")
                raise ValueError(f"A budget must be {allowed}. Received: {name}={value!r}")
        if not self.given:
            raise ValueError("A budget needs one of `macs`, `params`, `bytes`, `latency`. Received: Budget()")

    def __repr__(self) -> str:
        return f"Budget({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"

    @property
    def given(self) -> dict[str, float | int]:
        """The values that are not None, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def targets(self, costs: Mapping[str, int | None], unknown: Mapping[str, str] | None = None) -> dict[str, int]:
        """The numbers that must not be exceeded, `latency` apart, given what the original costs.

        Args:
            costs: What it costs, by the names of the fields.
            unknown: Why the MACs of an operation are not known, by its path.

        Raises:
            ValueError: Its MACs are not known.
        """
        found = {}
        for name, value in self.given.items():
            if name == "latency":
                continue
            cost = costs[name]
            if cost is None:
                raise ValueError(
                    "A budget of MACs needs a model whose products are known: of operations with a rule (see "
                    "`register_rule`), of inputs of known sizes, but for the batch, and of two tensors at a time. They "
                    f"are not known of {'; '.join(unknown_macs(unknown or {})) or 'some (see `cost`)'}. Received: "
                    f"Budget({name}={value!r})"
                )
            found[name] = int(value * cost) if isinstance(value, float) else value
        return found


def count_costs(costs: Costs, kept: Kept) -> dict[str, int | None]:
    """What is left of a model, by the names that budgets use."""
    return {"macs": costs.macs(kept), "params": costs.parameters(kept), "bytes": costs.bytes(kept)}


def meet_budget(
    budget: Budget,
    original: keras.Model,
    costs: Mapping[str, int | None],
    longest: int,
    left: Callable[[int], Mapping[str, int | None]],
    build: Callable[[int], keras.Model],
    hint: str = "",
    unknown: Mapping[str, str] | None = None,
) -> int:
    """Returns the length of the shortest part of a queue without which the model is within the budget.

    Args:
        budget: The budget.
        original: The model.
        costs: What it costs, by the names that budgets use.
        longest: The length of the queue.
        left: What is left of the costs without this much of the queue.
        build: Makes the model without this much of the queue.
        hint: What to do if the budget cannot be met.
        unknown: Why the MACs of an operation are not known, by its path.

    Raises:
        ValueError: The budget cannot be met; the message says what can.
    """
    targets = budget.targets(costs, unknown)
    smallest = left(longest)
    missed = {name: smallest[name] for name, target in targets.items() if _above(smallest[name], target)}
    if missed:
        reachable = ", ".join(f"{name}={count:,}" for name, count in missed.items())
        raise ValueError(
            f"The budget cannot be met: the smallest model that the limits allow has {reachable}. {hint}"
            f"Received: {budget}, that is {targets}"
        )
    length = _first(0, longest, lambda each: not any(_above(left(each)[name], goal) for name, goal in targets.items()))
    if budget.latency is None:
        return length
    goal = budget.latency * _latency(original)
    reached = _latency(build(longest))
    if reached > goal:
        raise ValueError(
            f"The budget cannot be met: the smallest model that the limits allow takes {reached:.3g} ms. "
            f"Received: {budget}, that is {goal:.3g} ms on this machine"
        )
    return _first(length, longest, lambda each: _latency(build(each)) <= goal, _PROBES)


def _above(count: int | None, target: int) -> bool:
    return count is not None and count > target


def _first(low: int, high: int, holds: Callable[[int], bool], probes: int | None = None) -> int:
    """The lowest number from `low` to `high` for which it holds, as it does for `high` and all above the first."""
    while low < high and probes != 0:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
        probes = None if probes is None else probes - 1
    return high


def _latency(model: keras.Model) -> Any:
    """Milliseconds of one call of the exported file."""
    export = tflite_export.export
    with tempfile.TemporaryDirectory() as folder:
        return export(model, Path(folder) / "model.tflite", sparse=False).timings[0].median_ms
