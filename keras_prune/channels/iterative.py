"""Pruning in steps with fine-tuning in between, which recovers more than fine-tuning once at the end."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_prune.channels.carry_out import PrunedChannels, left_of_all
from keras_prune.channels.limits import Scope
from keras_prune.channels.request import ChannelRequest
from keras_prune.channels.same_classes import analyze_for, carry_out
from keras_prune.channels.scores import ChannelImportance, Score
from keras_prune.costs.budget import Budget
from keras_prune.costs.counting import costs_of_trace
from keras_prune.reporting.unmet import say
from keras_prune.selection.thresholds import ThresholdRule
from keras_prune.validation import check_integer


class IterativePruning:
    """Iterator of ever smaller models, each made from the one before, which you fine-tune in between.

    Each step keeps the same fraction of what the step before kept: after `steps` of them the ratio, or the budget, is
    reached just as `prune_channels` would reach it at once. Every model is new and not compiled: compile it, so that
    the state of the optimizer (momentum, step) starts afresh, and with it its learning rate schedule. `results` has the
    report and the plan of each step; a second loop starts again from `model`. The last step warns if less was
    removed than was asked for.

    Args:
        model: A built model, as in `prune_channels`. It is not changed.
        steps: Number of models, at least 1.
        ratio: As in `prune_channels`: of the channels of `model`, the fraction that is missing in the last one.
        budget: As in `prune_channels`, instead of `ratio`; not of `bytes` or `latency`, which are measured on files,
            not counted.
        ratios: As in `prune_channels`.
        threshold: As in `prune_channels`, and the same in each step: it is compared with the scores of then, after the
            fine-tuning.
        importance: As in `prune_channels`; measured again on each model.
        scope: As in `prune_channels`.
        round_to: As in `prune_channels`.
        min_channels: As in `prune_channels`.
        max_ratio: As in `prune_channels`: of the channels of `model`.
        data: As in `prune_channels`.
        loss: As in `prune_channels`.
        recalibrate: As in `prune_channels`.
        compensate: As in `prune_channels`: in each step, so that fine-tuning starts from a better model.
        strict: As in `prune_channels`.
        keep_classes: As in `prune_channels`.

    Raises:
        ValueError: As `prune_channels`; `steps` below 1; a budget of `bytes` or `latency`.
        TypeError: As `prune_channels`.

    Example:

    ```python
    for small in IterativePruning(model, steps=3, ratio=0.5):
        small.compile("adam", "mse")
        small.fit(x, y, epochs=2)
    ```

    After the loop `small` is the last model.
    """

    def __init__(
        self,
        model: keras.Model,
        steps: int,
        ratio: float | None = None,
        *,
        budget: Budget | None = None,
        ratios: Mapping[str, float | None] | None = None,
        threshold: float | ThresholdRule | None = None,
        importance: str | Score | ChannelImportance = "l2",
        scope: Scope = "group",
        round_to: int = 1,
        min_channels: int = 1,
        max_ratio: float = 0.9,
        data: Any = None,
        loss: Any = None,
        recalibrate: Any = None,
        compensate: Any = None,
        strict: bool = False,
        keep_classes: bool = False,
    ):
        self._steps = check_integer(steps, "steps", 1)
        chosen = ratio, budget, ratios, threshold, importance, scope, round_to, min_channels, max_ratio
        request = ChannelRequest(*chosen, data, loss, recalibrate, compensate, strict, keep_classes=keep_classes)
        if budget is not None and budget.measured:
            raise ValueError(
                "A budget of the exported file, its bytes or its latency, cannot be reached in steps: count `macs`, "
                f"`params` or `weight_bytes`. Received: budget={budget!r}"
            )
        analysis = analyze_for(model, request)
        self.results: list[PrunedChannels] = []
        self._model = model if keep_classes else analysis.trace.model
        self._request = dataclasses.replace(request, original={group.name: group.size for group in analysis.groups})
        self._costs: dict[str, int | None] = {}
        if budget is not None:
            costs = costs_of_trace(analysis.trace)
            self._costs = left_of_all(costs, analysis)
            budget.targets(self._costs, costs.unknown)  # raises now, not in the loop

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[keras.Model]:
        self.results = []
        model = self._model
        for step in range(1, self._steps + 1):
            result = carry_out(model, self._request.after(step / self._steps, self._costs))
            self.results.append(result)
            model = result.model
            if step == self._steps:
                say(" ".join(result.report.missed))
            yield model
