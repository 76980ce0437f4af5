"""`expand`: what any model computes, written out as one Functional model."""

import contextlib
from collections.abc import Iterable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.expansion.any_batch import Batches
from keras_prune.expansion.blame import Differs, Whole, classes_apart
from keras_prune.expansion.build import Builder, Failed
from keras_prune.expansion.check import check_expanded, is_random_at_inference, runs
from keras_prune.expansion.differences import first_to_differ, has_losses, rank_of_calls, same_graph
from keras_prune.expansion.dropout import as_dropout
from keras_prune.expansion.inputs import InputSpecs, Sizes
from keras_prune.expansion.own_training import forced_training, remarks_on
from keras_prune.expansion.parts import as_keras_layers, is_leaf
from keras_prune.expansion.reasons import reason_of
from keras_prune.expansion.report import note, report_of
from keras_prune.expansion.traced import Traced
from keras_prune.expansion.tracer import Tracer
from keras_prune.graph.duplicate import duplicate
from keras_prune.graph.leaf_layers import AddLoss
from keras_prune.graph.same_outputs import nothing_drawn
from keras_prune.masking.checks import check_built
from keras_prune.masking.masked_weights import find_masked

_TWO = Batches(3, 5)
_ATTEMPTS = 50  # each finds one more layer that stays whole


def expand(model: keras.Model, *, sizes: Sizes | None = None, example: Any = None) -> keras.Model:
    """Write any model out as one Functional model of Keras's layers and operations that computes the same.

    Subclassed models, models with a constructor of their own and custom layers run on symbolic tensors, and what their
    code calls becomes the graph. What a custom layer holds itself, a weight or a constant, becomes a `Weight` layer. A
    custom layer whose code cannot run so, whose result depends on more than its inputs, or that computes something else
    in training, stays one layer; so does one with a rule (`register_rule`). `kp.expansion.report(expanded)` has them
    and the reasons. Dropout stays. The result is compared with the model on random inputs of two batch sizes before
    it is returned.

    Names tell where a layer was: `"encoder__block_3__ffn__dense"`. Patterns may write it `"encoder/block_3/ffn/dense"`.

    Args:
        model: A built model. It is not changed, and shares nothing with the result.
        sizes: By name of an input its sizes after that of the batch, or one integer for each that is unknown:
            `{"token_ids": 128}`. Custom code often takes sizes as numbers, and then works for these only. Defaults to
            None: unknown sizes stay unknown.
        example: A batch of inputs, of a subclassed model that takes others than those that Keras recorded, such as
            whole numbers. Defaults to None.

    Returns:
        The Functional model, not compiled. Its batch size is free.

    Raises:
        TypeError: `model` is no Keras model.
        ValueError: It is not built, has masks, its own code cannot run on symbolic tensors, sizes must be given, or the
            result computes something else.

    Example:

    ```python
    flat = kp.expand(model)  # of token ids of any length: sizes={"token_ids": 128}
    print(kp.expansion.report(flat))
    small = kp.prune_channels(flat, 0.5).model
    ```
    """
    check_built(model)
    if find_masked(model):
        raise ValueError(
            f"The model has pruning masks; remove them with `strip_pruning` first. Received: the model '{model.name}'"
        )
    return write_out(model, sizes, example)


def write_out(
    model: keras.Model, sizes: Sizes | None = None, example: Any = None, followed: Iterable[int] = ()
) -> keras.Model:
    """`expand` of a model that was checked.

    Args:
        model: The model.
        sizes: As in `expand`.
        example: Likewise.
        followed: The custom layers that stay whole, by their place among all layers of the model.
    """
    specs = InputSpecs(model, sizes, example)
    whole = dict.fromkeys(followed, "channels can be followed through it")
    with nothing_drawn():
        try:
            return _Expander(model, specs, whole).expanded()
        except Differs as differs:
            for way in differs.ways():
                with contextlib.suppress(ValueError):
                    return _Expander(model, specs, {**whole, **way}).expanded()
            raise


class _Expander:
    """Expands one model.

    Args:
        model: The model.
        specs: Its inputs.
        whole: The custom layers that stay whole, by their place among all layers, and why.
    """

    def __init__(self, model: keras.Model, specs: InputSpecs, whole: Whole):
        self._model, self._specs, self._tried = model, specs, False
        try:
            self._copy = duplicate(model)
        except ValueError as error:
            raise self._refusal(f"it cannot be copied: {error}") from error
        self._weights = self._copy.weights
        self._tracer = Tracer(self._copy)
        parts = _keras.flatten(self._copy)
        as_keras_layers(parts)
        self._tracer.whole.update((id(parts[place]), reason) for place, reason in whole.items())

    def expanded(self) -> keras.Model:
        for _ in range(_ATTEMPTS):
            decided = self._tracer.decided
            first = self._trace(self._batches.first, None)
            second = self._trace(self._batches.second, True)
            if self._tracer.decided > decided:  # they differ by that
                continue
            if not same_graph(first, second):
                made = self._settle(first, second)
                if made is not None:
                    return made
                continue
            try:
                self._check_training(first)
                return self._checked(self._build(first, second), first)
            except Failed as failed:
                self._give_up(failed)
        raise self._refusal("too many of its layers cannot be written out")

    def _check_training(self, first: Traced) -> None:
        node = forced_training(first.nodes)
        # Where the model is called with none, Keras hands on what an inner layer has as its default, as `Resizing` has
        # True. Only what remains of it at inference is the code's own.
        if node is not None and forced_training(self._trace(self._batches.first, False).nodes) is not None:
            reason = f"its code calls '{node.operation.name}' with training=True, at inference too"
            raise Failed(first.around.get(id(node)), reason)

    def _settle(self, first: Traced, second: Traced) -> keras.Model | None:
        """What follows where the operations differ: a layer stays whole, or becomes dropout, or the model is made of
        the operations in training, if these compute the same at inference."""
        other = self._trace(self._batches.second, None)
        in_training = same_graph(first, other)
        layer = first_to_differ(first, second if in_training else other)
        if in_training and layer is not None and layer is not self._copy:
            dropout = as_dropout(layer, rank_of_calls(first, layer))
            if dropout is not None:
                self._tracer.replaced[id(layer)] = dropout
                return None
        if in_training and not self._tried:
            self._tried = True
            made = self._of_training(second, has_losses(first))
            if made is not None:
                return made
        reason = "it computes something else in training" if in_training else "its code depends on the batch size"
        if layer is None or layer is self._copy:
            raise self._refusal(reason)
        self._tracer.whole[id(layer)] = reason
        return None

    def _of_training(self, second: Traced, losses: bool) -> keras.Model | None:
        """The model made of what runs in training; None if that computes something else at inference."""
        first = self._trace(self._batches.first, True)
        try:
            made = self._build(first, second)
            if check_expanded(self._model, made, self._specs):
                return None
        except Exception:  # whatever its parts raise: another way is tried
            return None
        if not losses:
            for part in made.layers:
                if isinstance(part, AddLoss):
                    part.only_training = True
        note(made, report_of(self._model, made, first, self._tracer, self._remarks(made)), self._weights)
        return made

    def _remarks(self, made: keras.Model) -> tuple[str, ...]:
        advice = self._advice
        whole = advice and not all(is_leaf(part) for part in made.layers)
        return (*remarks_on(self._model), *([advice.strip()] if whole else []))

    def _build(self, first: Traced, second: Traced) -> keras.Model:
        return Builder(first, second, self._batches, self._copy).build(self._specs.symbolic(None), self._model.name)

    @property
    def _batches(self) -> Batches:
        fixed = self._specs.batch
        return _TWO if fixed is None else Batches(fixed, fixed)

    def _trace(self, batch: int, training: bool | None) -> Traced:
        try:
            return self._tracer.trace(self._specs.symbolic(batch), training)
        except ValueError as error:
            raise self._refusal(reason_of(error, named=False)) from error

    def _give_up(self, failed: Failed) -> None:
        if failed.call is None or failed.call.layer is self._copy:
            raise self._refusal(failed.reason) from failed
        self._tracer.whole[id(failed.call.layer)] = failed.reason

    def _checked(self, made: keras.Model, first: Traced) -> keras.Model:
        try:
            differs = check_expanded(self._model, made, self._specs)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise (self._differs(reason, first) if runs(self._model, self._specs) else self._refusal(reason)) from error
        remarks = self._remarks(made)
        if differs and is_random_at_inference(self._model, self._specs):
            remarks += ("Its outputs are random, so that the two could not be compared",)
        elif differs:
            raise self._differs(f"what was made of it gives {differs}", first)
        note(made, report_of(self._model, made, first, self._tracer, remarks), self._weights)
        return made

    def _differs(self, reason: str, first: Traced) -> Differs:
        return Differs(str(self._refusal(reason)), f"written out, {reason}", classes_apart(first, self._copy))

    @property
    def _advice(self) -> str:
        """What to try where sizes are unknown; else empty."""
        open_sizes = self._specs.open
        if not open_sizes:
            return ""
        example = ", ".join(f'"{name}": {_example(count)}' for name, count in open_sizes.items())
        return (
            "Inputs of unknown size may be the reason: give them, as in "
            f"`keras_prune.expand(model, sizes={{{example}}})`. "
        )

    def _refusal(self, reason: str) -> ValueError:
        return ValueError(
            f"The model cannot be written out as a graph: {reason}. {self._advice}Received: '{self._model.name}' of "
            f"class {type(self._model).__name__}"
        )


def _example(count: int) -> str:
    return "128" if count == 1 else "(" + ", ".join(["128"] * count) + ")"
