"""BatchNormalization statistics estimated again before layers are fitted: in the original, and so in what they are
fitted to. Afterwards they would take away what the fit made of the means and variances."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable, Step
from keras_prune.reconstruction.recalibrate import recalibrate_statistics
from keras_prune.reconstruction.refitting.inner_fit import Kepts


def recalibrate_both(
    original: keras.Model, before: Runnable, pairs: Iterable[tuple[Step | None, Step]], kepts: Kepts, batches: Batches
) -> set[int]:
    """Replace the statistics of a flat copy of the original, and take over what the smaller model has of them.

    Args:
        original: The original, whose layers say what is trainable.
        before: Its flat copy.
        pairs: Steps of it, None where there is none, and the same of the smaller model.
        kepts: What the smaller model has of the original's variables.
        batches: Inputs.

    Returns:
        The variables of the smaller model that have other values, by identity.
    """
    frozen = {
        id(before.twins[id(layer.moving_mean)])
        for layer in _norms(original)
        if not layer.trainable and id(layer.moving_mean) in before.twins
    }
    for layer in _norms(before.model):
        layer.trainable = id(layer.moving_mean) not in frozen
    recalibrate_statistics(before.model, batches)
    changed = set()
    for whole, step in pairs:
        for one, other in (
            zip(_norms(whole.operation), _norms(step.operation), strict=True) if whole is not None else ()
        ):
            for name in ("moving_mean", "moving_variance"):
                given, taken = getattr(one, name), getattr(other, name)
                kept = kepts.of(given, taken)
                if kept is not None:
                    taken.assign(np.ravel(_keras.as_numpy(given))[kept.places])
                    changed.add(id(taken))
    return changed


def _norms(operation: Any) -> list[Any]:
    """The normalisations of a model or an operation, and inside of it."""
    parts = _keras.flatten(operation) if isinstance(operation, keras.Layer) else []
    return [part for part in parts if isinstance(part, keras.layers.BatchNormalization)]
