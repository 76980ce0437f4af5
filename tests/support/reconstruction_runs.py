"""What reconstruction makes of a small model, as arrays: to be the same on several devices, and on each backend."""

import keras
import numpy as np
from keras import layers, ops

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked


def make():
    rng = np.random.default_rng(0)
    parts = [
        layers.Conv2D(8, 3, strides=2, padding="same", name="first"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(16, activation="relu", name="middle"),
        layers.Dense(4, name="last"),
    ]
    model = keras.Sequential([keras.Input((6, 6, 4)), *parts], name="net")
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) if "variance" in weight.path else values)
    return model


def results(model):
    """The masks and weights by name, and the model with masks by the errors of layers."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(257, 6, 6, 4)).astype("float32")  # the last batch is no multiple of the devices
    before = _values(model)
    pruned = kp.prune_weights(model, 0.6, targets="reconstruction", reconstruct=x, recalibrate=True)
    fitted = kp.refit(kp.prune_weights(model, selection=kp.NByM(2, 4)), x, original=model)
    small = kp.prune_channels(model, 0.5, compensate=x).model
    found = {}
    for name, each in (("pruned", pruned), ("fitted", fitted)):
        found |= {f"{name}_mask{index}": weight.kept() for index, weight in enumerate(find_masked(each))}
    for name, each in (("pruned", kp.strip_pruning(pruned)), ("fitted", kp.strip_pruning(fitted)), ("small", small)):
        found |= {f"{name}{index}": value for index, value in enumerate(_values(each))}
    for old, new in zip(before, _values(model), strict=True):
        assert np.array_equal(old, new)
    return found, pruned


def check_same(expected, found, tolerance):
    """Masks are equal, and weights but for this."""
    assert sorted(expected) == sorted(found)
    masks = np.concatenate([value.reshape(-1) for name, value in expected.items() if "mask" in name])
    assert 0.4 < masks.mean() < 0.6
    for name, value in expected.items():
        if "mask" in name:
            np.testing.assert_array_equal(value, found[name])
        else:
            np.testing.assert_allclose(value, found[name], rtol=tolerance, atol=tolerance)


def _values(model):
    return [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
