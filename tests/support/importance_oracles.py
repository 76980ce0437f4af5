"""Scores of channels, and the small models and values that tests of them share."""

import keras
import numpy as np
from keras import layers, ops
from support.channel_zoo import randomise

import keras_prune as kp
from keras_prune.channels import ChannelImportance
from keras_prune.channels.scores import score_groups
from keras_prune.importance.registry import CRITERIA, names

OF_DATA = [name for name in names("channels") if CRITERIA[name].needs]


def scores(model, importance, data=None, loss=None):
    if not isinstance(importance, ChannelImportance):
        importance = ChannelImportance(importance)
    return score_groups(kp.analyze_channels(model), importance, model, data, loss)


def raw(score, combine="mean"):
    return ChannelImportance(score, combine, normalize="none")


def values(variable):
    return np.array(ops.convert_to_numpy(variable.value), dtype="float64")


def mlp(units=(5, 4), inputs=3):
    x = given = keras.Input((inputs,))
    for index, count in enumerate(units):
        x = layers.Dense(count, activation="relu", name=f"dense{index}")(x)
    return randomise(keras.Model(given, layers.Dense(2, name="out")(x)))


def targets(model, x, seed=3):
    rng = np.random.default_rng(seed)
    return keras.tree.map_structure(lambda out: rng.normal(size=out.shape), model.predict_on_batch(x))


def filters(kernel, axis=-1):
    return [kernel.take(index, axis).ravel() for index in range(kernel.shape[axis])]
