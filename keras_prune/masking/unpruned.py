"""Masks that prune nothing although they were made to: who is in charge of them, and what is said where nobody was."""

from typing import Any

import keras

from keras_prune import _keras
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.pruning_masks import PruningMasks
from keras_prune.reporting.unmet import say

_CHARGES = "_pruning_charges"
_SAID = "_said_unpruned"


def take_charge(model: keras.Layer) -> None:
    """Note that something prunes a model while it trains: a callback, at the start of a `fit` and in custom loops."""
    object.__setattr__(model, _CHARGES, charges(model) + 1)  # not an attribute that Keras tracks


def charges(model: keras.Layer) -> int:
    """How often something took charge of a model."""
    return getattr(model, _CHARGES, 0)


def take_masks(model: keras.Layer) -> None:
    """Note the same on each mask of a model, whatever other model is trained with it."""
    take_charge(model)
    for part in _masks(model):
        part.in_charge = True


def decide(model: keras.Layer, decided: bool = True) -> None:
    """Note whether the masks of a model are as somebody wants them, also where they prune nothing.

    Args:
        model: The model.
        decided: Whether they are, or are still to be changed. Defaults to True.
    """
    for part in _masks(model):
        part.decided = decided


def is_unpruned(model: keras.Layer) -> bool:
    """Whether a model has masks that prune nothing, and nobody wants them so: clusters need none that prune."""
    weights = find_masked(model)
    if not weights or any(weight.shared is not None for weight in weights):
        return False
    return not any(part.decided for part in _masks(model)) and all(weight.kept().all() for weight in weights)


def warn_after_fit(model: keras.Model, before: int) -> None:
    """Warn, once for a model, if a `fit` had nothing that prunes.

    Args:
        model: The model that was trained.
        before: Its `charges` before that.
    """
    if charges(model) != before or getattr(model, _SAID, False) or not is_unpruned(model):
        return
    if any(part.has_movements for part in _masks(model)):  # added up while it trains, to prune it afterwards
        return
    object.__setattr__(model, _SAID, True)
    say(
        f"Nothing was pruned: `fit` had no callback that prunes, and the masks of the model '{model.name}' keep every "
        "weight. Pass `callbacks=[PruningSchedule(...)]` to `fit`, or call `prune_weights(model, sparsity)`."
    )


def warn_if_unpruned(model: keras.Layer) -> None:
    """Warn if the masks of a model that is stripped or exported prune nothing."""
    if is_unpruned(model):
        say(
            f"Nothing was pruned: the masks of '{model.name}' keep every weight, so it is as dense without them as it "
            "was. Before it is stripped or exported, train it with `fit(..., callbacks=[PruningSchedule(...)])`, or "
            "call `prune_weights(model, sparsity)`."
        )


def _masks(model: Any) -> list[PruningMasks]:
    return [part for part in _keras.flatten(model) if isinstance(part, PruningMasks)]
