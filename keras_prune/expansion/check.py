"""Whether a written-out model computes what the model computes, tried on random inputs."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.expansion.inputs import InputSpecs
from keras_prune.expansion.own_training import is_random

_BATCHES = (2, 7)  # other sizes than those that were traced
_OPEN = (16, 24)  # sizes tried where they are unknown
_TOLERANCE = {"float32": 1e-4, "float64": 1e-4}  # of the largest output; those of fewer bits differ more


def check_expanded(model: keras.Model, expanded: keras.Model, specs: InputSpecs) -> str:
    """What differs between a model and what was made of it; empty if nothing does.

    Both run in inference, and as in training where nothing in them is random, and the model takes the argument: one
    that does not is trained as at inference, or partly so.
    """
    both = not is_random(expanded) and _keras.takes_training(model)
    highest = highest_number(expanded)
    for number, batch in enumerate(_BATCHES):
        inputs = specs.random(batch, highest, number, _OPEN[number])
        for training in (False, True) if both else (False,):
            try:
                expected = outputs_of(model, inputs, training)
            except Exception:  # in training it may want more than inputs
                if not training:
                    raise
                continue
            found = outputs_of(expanded, inputs, training)
            where = f"for a batch of {batch}{' in training' if training else ''}"
            if [each.shape for each in found] != [each.shape for each in expected]:
                return f"outputs of other shapes {where}"
            gap = max((_gap(*pair) for pair in zip(found, expected, strict=True)), default=0.0)
            if not gap <= _TOLERANCE.get(model.compute_dtype, 0.03):
                return f"outputs that differ by {gap:.1e} of the largest {where}"
    return ""


def runs(model: keras.Model, specs: InputSpecs) -> bool:
    """Whether the model takes random inputs at all."""
    try:
        outputs_of(model, specs.random(_BATCHES[0], highest_number(model), 0, _OPEN[0]), False)
    except Exception:  # whatever its code raises
        return False
    return True


def is_random_at_inference(model: keras.Model, specs: InputSpecs) -> bool:
    """Whether the model gives other outputs for the same inputs."""
    inputs = specs.random(_BATCHES[0], highest_number(model), 0, _OPEN[0])
    pairs = zip(outputs_of(model, inputs, False), outputs_of(model, inputs, False), strict=True)
    return not all(np.array_equal(*pair, equal_nan=True) for pair in pairs)


def outputs_of(model: keras.Model, inputs: Any, training: bool) -> list[np.ndarray]:
    """The outputs of a model, in NumPy. Its variables stay as they are."""
    inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
    with keras.StatelessScope():  # what it assigns is forgotten
        outputs = keras.tree.flatten(model(inputs, training=training))
    return [ops.convert_to_numpy(ops.cast(each, "float32")) for each in outputs if each is not None]


def highest_number(model: keras.Model) -> int:
    """The number of rows of the smallest table that whole numbers may be looked up in."""
    tables = [part.input_dim for part in _keras.flatten(model) if isinstance(part, keras.layers.Embedding)]
    return max(2, min(tables, default=2))


def _gap(found: np.ndarray, expected: np.ndarray) -> float:
    if not np.array_equal(np.isnan(found), np.isnan(expected)):
        return float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    largest = float(np.abs(expected[finite]).max(initial=0.0))
    return float(np.abs(found[finite] - expected[finite]).max(initial=0.0)) / max(largest, 1e-6)
