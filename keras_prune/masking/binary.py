"""Masks that are neither 0 nor 1, as the mean of the weights of several pruned models has them.

A weight whose mask is not 0 counts as kept. Masks become 0 or 1 where they come from outside (set, loaded, at the start
of `fit`), since the training step multiplies by them: at each step a mask of 0.5 would halve a weight.
"""

import warnings
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from keras_prune import _keras


def make_binary(masks: Mapping[str, keras.Variable]) -> bool:
    """Sets each mask to 1 where it is not 0, in place, and warns if one had other values.

    Args:
        masks: The masks by the path of the weight, for the message.

    Returns:
        Whether one had.
    """
    found: dict[str, int] = {}
    for path, mask in masks.items():
        values = _keras.as_numpy(mask)
        kept = values != 0
        others = int(np.count_nonzero(kept & (values != 1)))
        if others:
            found[path] = others
            mask.assign(ops.cast(ops.convert_to_tensor(kept), mask.dtype))
    if found:
        path, others = next(iter(found.items()))
        more = f", and in {len(found) - 1} more" if len(found) > 1 else ""
        warnings.warn(
            "Masks must be 0 or 1: a weight whose mask is another number, as in the mean of several models, counts as "
            f"kept. Received: {others} other numbers in the mask of '{path}'{more}",
            stacklevel=3,
        )
    return bool(found)
