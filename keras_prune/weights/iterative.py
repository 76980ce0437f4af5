"""Iterative magnitude pruning, with rewinding: from Han's fine-tuning to lottery tickets."""

import dataclasses
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import keras

from keras_prune._keras.multi_worker import choice_of_first
from keras_prune.importance import Importance
from keras_prune.masking.masked_weights import find_masked, masked_sparsity
from keras_prune.masking.pruned_model import keep_masks
from keras_prune.masking.unpruned import decide
from keras_prune.reporting.records import Records
from keras_prune.reporting.unmet import say
from keras_prune.selection import Selection
from keras_prune.validation import check_choice, check_fraction, check_sparsity, check_step
from keras_prune.weights.online_statistics import Measured
from keras_prune.weights.rewind import RewindPoint
from keras_prune.weights.rule import PruningRule
from keras_prune.weights.shortfall import shortfall
from keras_prune.weights.snapshot import Snapshot
from keras_prune.weights.update import update_masks
from tflite_export.reporting import Shown

Rewind = Literal["weights", "learning_rate"]


@dataclasses.dataclass(frozen=True)
class PruningRound(Shown):
    """Result of one round of `IterativeMagnitude`.

    Args:
        round: Number of the round; 0 is the one before anything was pruned.
        target: The target sparsity; None if the selection decides itself how much is pruned.
        sparsity: The fraction of all masked weights that is pruned.
    """

    round: int
    target: float | None
    sparsity: float


class IterativeMagnitude:
    """Iterator for iterative magnitude pruning: yields the model to be trained, prunes it, and yields it again, until
    the final sparsity is reached.

    Each round removes the same fraction of the remaining weights (Han et al. 2015, "Learning both Weights and
    Connections for Efficient Neural Networks"). The first round trains the unpruned model, the last one the model at
    the final sparsity, so there is one round of training more than there are prunings. `rewind` says what is restored
    after each pruning; the masks never are:

    - None: nothing. Training continues with the optimizer as it is; its learning rate schedule continues too, and is at
      its end if it was made for one round. This is fine-tuning.
    - `"weights"`: all weights, biases and statistics, and the optimizer with its step, learning rate and momenta: each
      round trains the remaining part of the first network in the same way. This finds lottery tickets (Frankle & Carbin
      2019, "The Lottery Ticket Hypothesis").
    - `"learning_rate"`: the optimizer only; the weights keep what they learned (Renda et al. 2020, "Comparing Rewinding
      and Fine-tuning in Neural Network Pruning", who found it the most accurate).

    It is always the same model, pruned in place. Compile it before the loop. If you compile it again in the loop
    instead, each round starts with that new optimizer, whatever `rewind` is. `results` lists a `PruningRound` for each
    round so far. The last pruning warns if it prunes less than the final sparsity.

    Args:
        model: A model from `wrap_pruning`.
        final_sparsity: Sparsity of the last round, in [0, 1). Defaults to None: for a threshold selection, which
            decides itself how much is pruned.
        rounds: Number of prunings, at least 1. Defaults to as many as `fraction` needs.
        fraction: Fraction of the remaining weights that a round removes, in (0, 1), instead of `rounds`. The last round
            may remove less. Defaults to 0.2.
        rewind: What is restored after each pruning: None, `"weights"` or `"learning_rate"`. Defaults to None.
        rewind_to: `RewindPoint` to restore, to be passed to `fit` too. Defaults to the model at the start of the loop.
        trained: Whether the model is trained already: the loop then begins with a pruning. Defaults to False.
        selection: How scores become masks. Defaults to `Percentile()`.
        importance: Importance criterion, as in `PruningSchedule`. Defaults to `"magnitude"`.
        targets: Per-layer sparsity, as in `PruningSchedule`, reached along the same curve. Defaults to `"uniform"`.
        prune_frozen: Whether weights that are not trainable are pruned too. Defaults to False.
        data: Data for criteria that need them, as in `prune_weights`. Defaults to None.
        loss: Loss for criteria that need one, as `compile` takes it. Defaults to the one that the model is compiled
            with.

    Raises:
        ValueError: A model without masks, values outside these ranges, both `rounds` and `fraction`, a trained model
            to be rewound without `rewind_to`, learning rate rewinding of a model that is not compiled, a target that
            names no layer; in the loop, a `rewind_to` that was not reached, or a second loop.
        TypeError: An argument of another type.

    Example:

    ```python
    model = wrap_pruning(model)
    model.compile("adam", "mse")
    loop = IterativeMagnitude(model, final_sparsity=0.75, rounds=2, rewind="weights")
    for ticket in loop:  # at 0%, 50% and 75%
        ticket.fit(x, y, epochs=1)
    print(loop.results)
    ```
    """

    def __init__(
        self,
        model: keras.Model,
        final_sparsity: float | None = None,
        *,
        rounds: int | None = None,
        fraction: float | None = None,
        rewind: Rewind | None = None,
        rewind_to: RewindPoint | None = None,
        trained: bool = False,
        selection: Selection | None = None,
        importance: str | Importance = "magnitude",
        targets: Any = None,
        prune_frozen: bool = False,
        data: Any = None,
        loss: Any = None,
    ):
        self._rule = PruningRule.of(selection, importance, targets, prune_frozen)
        if final_sparsity is not None:
            self._rule.refuse_sparsity(f"final_sparsity={final_sparsity!r}")
        if self._rule.selection.needs_sparsity:
            final_sparsity = check_sparsity(final_sparsity, "final_sparsity")
        self.sparsities = _sparsities(final_sparsity, rounds, fraction)
        _check_rewind(model, rewind, rewind_to, trained)
        self._weights = find_masked(model) if isinstance(model, keras.Model) else []
        if not self._weights:
            raise ValueError(
                f"`model` must have masks: pass what `wrap_pruning(model)` returns. Received: model={model!r}"
            )
        self._rule.check(list(dict.fromkeys(weight.layer for weight in self._weights)))
        self._rule.check_weights(self._weights)
        if final_sparsity is not None:
            self._rule.check_reachable(final_sparsity, "final_sparsity")
        self._rule.check_data(data)
        self.results: Records[PruningRound] = Records()
        self._measured = Measured(self._rule, model, data, 1, loss)
        self._model = keep_masks(model)
        self._final, self._rewind, self._rewind_to, self._trained = final_sparsity, rewind, rewind_to, trained

    def __len__(self) -> int:
        """Number of rounds of training."""
        return len(self.sparsities) + (not self._trained)

    def __iter__(self) -> Iterator[keras.Model]:
        if self.results:
            raise ValueError(
                "The model was pruned by this loop: make a new IterativeMagnitude for another one. "
                f"Received: a second loop, after {len(self.results)} rounds"
            )
        start = Snapshot.take(self._model) if self._rewind and self._rewind_to is None else None
        if not self._trained:
            self._note(0, None if self._final is None else 0.0)
            yield self._model
        for number, target in enumerate(self.sparsities, 1):
            point = start if self._rewind_to is None else self._rewind_to.snapshot
            if self._rewind and point is None:
                raise ValueError(
                    "`rewind_to` has no snapshot: pass it to `fit(callbacks=[...])`, and train for at least as many "
                    f"steps. Received: {getattr(self._rewind_to, 'step', None)} as its step"
                )
            self._prune(number, target)
            if point is not None and self._rewind == "weights":
                point.restore_weights(self._model)
            if point is not None and self._rewind:
                point.restore_optimizer(self._model)
            self._note(number, target)
            if number == len(self.sparsities):
                say(shortfall(self._weights, self._rule, self._final_of))
            yield self._model

    def _final_of(self, own: float | None) -> float:
        return (self._final or 0.0) if own is None else own

    def _prune(self, number: int, target: float | None) -> None:
        # A layer's own target is reached in the same rounds: as far along the same curve.
        done = number / len(self.sparsities)
        if target is not None and self._final:
            done = math.log1p(-target) / math.log1p(-self._final)

        def goal(own: float | None) -> float:
            if own is None:
                return target or 0.0
            return own if done >= 1 else 1.0 - (1.0 - own) ** done

        statistics = self._measured.now(number)
        optimizer = getattr(self._model, "optimizer", None)
        agree = partial(choice_of_first, self._model)
        update_masks(self._weights, self._rule, goal, number, optimizer, statistics, agree)

    def _note(self, number: int, target: float | None) -> None:
        self.results.append(PruningRound(number, target, masked_sparsity(self._weights)))
        decide(self._model)


def _sparsities(final: float | None, rounds: int | None, fraction: float | None) -> tuple[float | None, ...]:
    """The target of each pruning: the density falls by the same factor, so geometrically."""
    if rounds is not None and fraction is not None:
        raise ValueError(f"Pass `rounds` or `fraction`, not both. Received: rounds={rounds!r}, fraction={fraction!r}")
    if rounds is not None:
        rounds = check_step(rounds, "rounds", minimum=1)
    if final is None:
        if rounds is None:
            raise ValueError(
                "A selection that decides itself how much is pruned needs `rounds`. "
                f"Received: rounds=None, fraction={fraction!r}"
            )
        return (None,) * rounds
    if rounds is not None:
        return (*(1.0 - (1.0 - final) ** (number / rounds) for number in range(1, rounds)), final)
    fraction = 0.2 if fraction is None else check_fraction(fraction, "fraction", zero=False)
    # Slightly less than exact, so that 1 - 0.8 ** n as `final` takes n rounds despite rounding.
    count = max(math.ceil(math.log1p(-final) / math.log1p(-fraction) - 1e-9), 1)
    return (*(1.0 - (1.0 - fraction) ** number for number in range(1, count)), final)


def _check_rewind(model: Any, rewind: Any, rewind_to: Any, trained: bool) -> None:
    check_choice(rewind, "rewind", (None, "weights", "learning_rate"))
    if rewind_to is not None and not isinstance(rewind_to, RewindPoint):
        raise TypeError(f"`rewind_to` must be a `RewindPoint`. Received: rewind_to={rewind_to!r}")
    if rewind_to is not None and rewind is None:
        raise ValueError(f"`rewind_to` needs `rewind`. Received: rewind=None, rewind_to={rewind_to!r}")
    if rewind and trained and rewind_to is None:
        raise ValueError(
            "A trained model can be rewound only to a `RewindPoint` of its own training: pass `rewind_to`. "
            f"Received: trained={trained!r}, rewind={rewind!r}, rewind_to=None"
        )
    if rewind == "learning_rate" and not getattr(model, "compiled", False):
        raise ValueError(
            "Learning rate rewinding restores the optimizer: compile the model before the loop. "
            f"Received: rewind={rewind!r} and a model that is not compiled"
        )
