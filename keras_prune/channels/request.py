"""`ChannelRequest`: what is asked of channel pruning, checked once, and passed on as one object."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from keras_prune.channels.limits import Limits, Scope
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.scores import ChannelImportance, Score
from keras_prune.costs.budget import Budget
from keras_prune.selection.thresholds import ThresholdRule
from keras_prune.selection.unit_thresholds import unit_threshold
from keras_prune.validation import check_flag


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelRequest:
    """Arguments of `prune_channels`, apart from the model, with its defaults; it says what each means.

    Args:
        ratio: Fraction of the channels to remove.
        budget: What the smaller model may cost.
        ratios: Other fractions, by layer pattern. None becomes an empty mapping.
        threshold: Which scores are too low. A number becomes a `Threshold`.
        importance: How channels are scored. A name or a function becomes a `ChannelImportance`.
        scope: Which groups are ranked together.
        round_to: Keep a multiple of this many channels.
        min_channels: Keep at least this many.
        max_ratio: Remove at most this fraction of a group.
        data: What an importance criterion that needs data is measured on.
        loss: The loss of criteria that need one.
        recalibrate: Inputs to estimate BatchNormalization statistics on.
        compensate: Inputs on which the layers that read removed channels are fitted again, or `"weights"`.
        strict: Whether an operation without a rule is an error.
        plan: A plan to replay instead.
        keep_classes: Whether the smaller model is of the same class.
        original: The sizes of the groups that fractions refer to, by name, for a model that lost channels in earlier
            steps. Defaults to none: the present sizes.

    Raises:
        ValueError: A value outside its range, or arguments that exclude each other.
        TypeError: A budget, plan or mapping of another type.
    """

    ratio: float | None = None
    budget: Budget | None = None
    ratios: Mapping[str, float | None] | None = None
    threshold: float | ThresholdRule | None = None
    importance: str | Score | ChannelImportance = "l2"
    scope: Scope = "group"
    round_to: int = 1
    min_channels: int = 1
    max_ratio: float = 0.9
    data: Any = dataclasses.field(default=None, repr=False)
    loss: Any = None
    recalibrate: Any = dataclasses.field(default=None, repr=False)
    compensate: Any = dataclasses.field(default=None, repr=False)
    strict: bool = False
    plan: ChannelPlan | None = None
    keep_classes: bool = False
    original: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_asked()
        check_flag(self.strict, "strict")
        check_flag(self.keep_classes, "keep_classes")
        if not isinstance(self.importance, ChannelImportance):
            object.__setattr__(self, "importance", ChannelImportance(self.importance))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", unit_threshold(self.threshold))
        if isinstance(self.compensate, str) and self.compensate != "weights":
            raise ValueError(
                f'`compensate` must be inputs, or "weights" for without any. Received: compensate={self.compensate!r}'
            )
        if self.ratios is None:
            object.__setattr__(self, "ratios", {})
        _ = self.limits  # raises now, not when they are first used

    def _check_asked(self) -> None:
        asked = {name: getattr(self, name) for name in ("ratio", "budget", "threshold", "ratios", "plan")}
        received = "Received: " + ", ".join(f"{name}={value!r}" for name, value in asked.items())
        for name, cls in (("budget", Budget), ("plan", ChannelPlan)):
            if asked[name] is not None and not isinstance(asked[name], cls):
                raise TypeError(f"`{name}` must be a {cls.__name__}. {received}")
        given = [name for name in ("ratio", "budget", "threshold") if asked[name] is not None]
        if self.plan is not None and (given or self.ratios):
            raise ValueError(
                "A `plan` says which channels to remove: pass it without `ratio`, `budget`, `threshold` and `ratios`. "
                f"{received}"
            )
        if len(given) > 1:
            raise ValueError(f"Pass `{given[0]}` or `{given[1]}`, not both. {received}")
        if self.plan is None and not given and not self.ratios:
            raise ValueError(f"Pass `ratio`, `budget`, `threshold` or `ratios`, or a `plan`. {received}")

    @property
    def score(self) -> ChannelImportance:
        """How channels are scored."""
        assert isinstance(self.importance, ChannelImportance)  # since `__post_init__`
        return self.importance

    @property
    def limits(self) -> Limits:
        """How much of each group may, and shall, be removed."""
        ratios = {} if self.ratios is None else self.ratios
        assert self.threshold is None or isinstance(self.threshold, ThresholdRule)  # since `__post_init__`
        chosen = self.ratio, ratios, self.scope, self.round_to, self.min_channels, self.max_ratio
        return Limits(*chosen, original=self.original, threshold=self.threshold)

    def after(self, done: float, costs: Mapping[str, int | None]) -> "ChannelRequest":
        """What is asked when this fraction of the steps of an iteration is done.

        Each step keeps the same fraction of what the step before kept, so ratios and budgets fall geometrically. A
        threshold is the same in each: it is compared with the scores of then.

        Args:
            done: Fraction of the steps, in (0, 1]; at 1 it is what was asked of all.
            costs: What the model costs before the first step, by the names that budgets use. Only used with a budget.

        Raises:
            ValueError: A budget of MACs, which are unknown.
        """
        ratios = {pattern: _ratio_after(ratio, done) for pattern, ratio in (self.ratios or {}).items()}
        budget = self._budget_after(done, costs) if self.budget is not None else None
        return dataclasses.replace(self, ratio=_ratio_after(self.ratio, done), ratios=ratios, budget=budget)

    def _budget_after(self, done: float, costs: Mapping[str, int | None]) -> Budget:
        assert self.budget is not None
        between = {}
        for name, target in self.budget.targets(costs).items():
            cost = costs[name] or target
            between[name] = max(target, math.floor(cost * (target / cost) ** done))
        return Budget(**between)


def _ratio_after(ratio: float | None, done: float) -> float | None:
    return None if ratio is None else 1 - (1 - ratio) ** done
