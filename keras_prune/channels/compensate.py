"""`compensate=`: after channels were removed, the layers that read them take over their work, without training."""

from typing import Any

import keras
import numpy as np

from keras_prune.measurement.batches import Batches
from keras_prune.reconstruction.refitting.inner_products import KeptPlaces, all_kept
from keras_prune.reconstruction.refitting.layer_refit import LayerRefit
from keras_prune.reconstruction.refitting.refit import refit
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.labels import collapse
from keras_prune.tracing.trace import Trace


def compensate_channels(
    trace: Trace, keep: np.ndarray, small: keras.Model, batches: Batches, recalibrate: Batches | None = None
) -> tuple[LayerRefit, ...]:
    """Fit the layers of the smaller model to what the original computes, in place.

    Args:
        trace: What is known of the original.
        keep: For each atom, whether it was kept.
        small: The smaller model.
        batches: Inputs.
        recalibrate: Inputs on which BatchNormalization statistics are estimated first. Defaults to None.

    Returns:
        A record of each layer that did not compute what it should.
    """
    kept = Kept(keep)

    def cut(tensor: Any, values: np.ndarray) -> np.ndarray:
        for plane in trace.planes(tensor):  # one for each axis that channels lie along
            mask = kept.mask(collapse([plane])[0])
            for axis in range(mask.ndim):
                here = mask.any(axis=tuple(each for each in range(mask.ndim) if each != axis))
                if not here.all():
                    values = np.compress(here, values, axis=axis)
        return values

    bindings: dict[int, list[Binding]] = {}
    for binding in trace.found.bindings.values():
        bindings.setdefault(id(binding.weight), []).append(binding)

    def kept_of(variable: keras.Variable) -> KeptPlaces:
        found, factor = all_kept(variable).places, 1.0
        for each in bindings.get(id(variable), ()):
            found = np.compress(kept.mask(each.labels), found, axis=each.axis)
            factor *= 1.0 if each.rescale is None else each.rescale(kept)
        return KeptPlaces(found, factor)

    return refit(trace.model, small, cut, batches, kept=kept_of, recalibrate=recalibrate)
