"""Budgets: what a smaller model may cost, and the shortest part of a removal order without which it does."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras

from keras_prune.costs.bisection import lowest
from keras_prune.costs.counting import Costs
from keras_prune.costs.exported import MEASURED, meet_measured
from keras_prune.costs.macs_change import unknown_macs
from keras_prune.tracing.kept_channels import Kept
from keras_prune.validation import is_fraction, is_integer
from tflite_export.reporting import Shown, Table


@dataclasses.dataclass(frozen=True, repr=False)
class Budget(Shown):
    """What the smaller model may cost. All values that are given must hold.

    A number in (0, 1) is a fraction of what the original model costs, a whole number an amount. As little as possible
    is removed: with one channel (or layer) more the model would cost too much.

    Args:
        macs: Multiply-accumulates of one forward pass of one sample; for models of which they are known (see `cost`).
            Defaults to None, any number.
        params: Number of parameters, biases and statistics included. Defaults to None, any number.
        weight_bytes: Bytes of the weights in memory, as `cost(model).weight_bytes` counts them: no file is made.
            Defaults to None, any number.
        bytes: Bytes of the exported `.tflite` file, not compressed. Of `prune_channels` and `prune_layers` it is a
            float32 file, with an export for each of some ten probes; of `autoprune` that of its `quantize`. Defaults to
            None, any number.
        latency: Fraction of the original's latency, measured on the exported `.tflite` file on this machine: an export
            for each of some eight probes. Timings are noisy, so it is met as far as can be measured. Defaults to None,
            any latency.

    Raises:
        ValueError: No value, or one that is neither a fraction in (0, 1) nor a positive whole number.

    Example:

    ```python
    result = prune_channels(model, budget=Budget(macs=0.5))
    print(result.report.macs_after / result.report.macs_before)  # at most 0.5
    ```
    """

    macs: float | int | None = None
    params: float | int | None = None
    weight_bytes: float | int | None = None
    bytes: float | int | None = None
    latency: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            amount = is_integer(value, 1)  # 1.0 could mean all of it
            if not is_fraction(value, zero=False) and (name == "latency" or not amount):
                allowed = "a fraction in (0, 1)" + ("" if name == "latency" else ", or a positive integer")
                raise ValueError(f"A budget must be {allowed}. Received: {name}={value!r}")
        if not self.given:
            raise ValueError(
                "A budget needs one of `macs`, `params`, `weight_bytes`, `bytes`, `latency`. Received: Budget()"
            )

    def __repr__(self) -> str:
        return f"Budget({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"

    __str__ = __repr__  # messages quote it

    def _tables(self) -> Sequence[Table]:
        return [Table(None, [(name, f"{value:,}") for name, value in self.given.items()], "Budget")]

    @property
    def given(self) -> dict[str, float | int]:
        """The values that are not None, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def measured(self) -> tuple[str, ...]:
        """Those of the values that are measured on an exported file, not counted."""
        return tuple(name for name in self.given if name in MEASURED)

    def targets(self, costs: Mapping[str, int | None], unknown: Mapping[str, str] | None = None) -> dict[str, int]:
        """Return the amounts that must not be exceeded, given what the original costs, of those costs.

        Args:
            costs: What it costs, by the names of the fields.
            unknown: Why the MACs of an operation are unknown, by its path. Defaults to None, none are.

        Raises:
            ValueError: A budget of MACs, and those of the original are unknown.
        """
        found = {}
        for name, value in self.given.items():
            if name not in costs:
                continue
            cost = costs[name]
            if cost is None:
                raise ValueError(
                    "A budget of MACs needs a model whose products are known: of operations with a rule (see "
                    "`register_rule`), of inputs of known sizes, except the batch, and of two tensors at a time. They "
                    f"are unknown for {'; '.join(unknown_macs(unknown or {})) or 'some (see `cost`)'}. Received: "
                    f"Budget({name}={value!r})"
                )
            found[name] = int(value * cost) if value < 1 else int(value)
        return found


@dataclasses.dataclass(frozen=True)
class BudgetRow(Shown):
    """One value of a budget, and what was reached.

    Args:
        name: `"macs"`, `"params"`, `"weight_bytes"`, `"bytes"` or `"latency"`.
        asked: The value, as it was given.
        limit: The amount that it is: of `"latency"` in milliseconds.
        reached: What the smaller model costs; None if it is unknown.
        met: Whether that is within the limit.
    """

    name: str
    asked: float | int
    limit: float
    reached: float | None
    met: bool

    @classmethod
    def of(
        cls, budget: Budget, limits: Mapping[str, float], reached: Mapping[str, float | None]
    ) -> "tuple[BudgetRow, ...]":
        """A row for each value of a budget.

        Args:
            budget: The budget.
            limits: The amounts that it means, by name.
            reached: What the smaller model costs, by name.
        """
        return tuple(
            cls(name, asked, limits[name], reached.get(name), not _above(reached.get(name), limits[name]))
            for name, asked in budget.given.items()
        )


def budget_table(rows: Sequence[BudgetRow]) -> list[Table]:
    """The table of a report: what was asked for, and what was reached, of each value of a budget; none without rows."""

    def amount(name: str, value: float | None) -> str:
        if value is None:
            return "-"
        return f"{value:.3g} ms" if name == "latency" else f"{value:,.0f}"

    cells = [
        (
            row.name,
            f"{row.asked:g}" if row.asked < 1 else f"{row.asked:,}",
            amount(row.name, row.limit),
            amount(row.name, row.reached),
            "yes" if row.met else "no",
        )
        for row in rows
    ]
    return [Table(("Budget", "Asked", "At most", "Reached", "Met"), cells, "Budget")] if cells else []


def count_costs(costs: Costs, kept: Kept) -> dict[str, int | None]:
    """Return what a model costs with these channels kept, by the names that budgets use."""
    return {"macs": costs.macs(kept), "params": costs.parameters(kept), "weight_bytes": costs.bytes(kept)}


def meet_budget(
    budget: Budget,
    original: keras.Model,
    costs: Mapping[str, int | None],
    longest: int,
    left: Callable[[int], Mapping[str, int | None]],
    build: Callable[[int], keras.Model],
    hint: str = "",
    unknown: Mapping[str, str] | None = None,
) -> tuple[int, tuple[BudgetRow, ...]]:
    """Return the length of the shortest part of a removal order without which the model is within the budget, and what
    is reached.

    Args:
        budget: The budget.
        original: The model.
        costs: What it costs, by the names that budgets use.
        longest: The length of the removal order.
        left: What the model costs without this much of it.
        build: Makes the model without this much of it.
        hint: What to do if the budget cannot be met. Defaults to "", no advice.
        unknown: Why the MACs of an operation are unknown, by its path. Defaults to None, none are.

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
    length = lowest(0, longest, lambda each: not any(_above(left(each)[name], goal) for name, goal in targets.items()))
    limits: dict[str, float] = {**targets}
    measured: Mapping[str, float] = {}
    if budget.measured:
        length, more, measured = meet_measured(budget.given, budget.measured, original, length, longest, build, budget)
        limits |= more
    return length, BudgetRow.of(budget, limits, {**left(length), **measured})


def _above(count: float | None, target: float) -> bool:
    return count is not None and count > target
