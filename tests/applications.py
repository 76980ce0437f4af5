"""The architectures of `keras.applications`, each pruned and held against the oracle.

`make proof` runs all of them, one after the other, each in a process of its own, and writes docs/applications.md.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

import keras
import numpy as np
from channel_zoo import batch, check, difference, outputs, randomise

from keras_prune.channels.recalibrate import recalibrate_statistics

# The smallest images that these allow; all others take 32 x 32.
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}

# The smallest of each family: these are in the suite.
FAMILIES = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
]


def names():
    """All architectures, by name."""
    return [name for name in sorted(dir(keras.applications)) if name[0].isupper()]


def build(name):
    size = SIZES.get(name, 32)
    # Logits: a softmax would hide differences where it saturates.
    return getattr(keras.applications, name)(
        weights=None, classes=10, input_shape=(size, size, 3), classifier_activation=None
    )


def enliven(model):
    """Random weights that let signals through, however deep the network.

    With statistics that have nothing to do with what flows, activations die or saturate on the way, and the output no
    longer depends on the input: the oracle would compare constants. So the statistics are measured, then disturbed.
    """
    randomise(model)
    recalibrate_statistics(model, [batch(model, 16, seed=2)])
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            mean, variance = np.array(layer.moving_mean), np.array(layer.moving_variance)
            layer.moving_mean.assign(mean + 0.2 * np.sqrt(variance) * rng.normal(size=mean.shape))
            layer.moving_variance.assign(variance * rng.uniform(0.7, 1.4, variance.shape) + 1e-3)
    return model


def prove(name):
    """Prunes half of the channels of every group and checks what is left.

    A normalisation over the channels makes its groups inexact. There the shapes and the parameters are checked, and the
    oracle is asked a second time with these groups whole and half of all others removed.

    Returns:
        What the table says of this architecture, as plain values.
    """
    model = build(name)
    result, error = check(model, prepare=enliven)
    report = result.report
    assert report.parameters_before == model.count_params()
    assert report.parameters_after == result.model.count_params()
    assert not report.unknown, report.unknown
    dense = outputs(model, batch(model))[0]
    alive = difference([dense[:1]], [dense[1:]])
    assert alive > 1e-2, f"the test is empty: the output hardly depends on the input ({alive})"
    if report.inexact:
        whole = {path: None for group in report.groups if group.name in report.inexact for path in producers(result, group)}
        _, error = check(model, prepare=lambda model: model, ratios=whole)
        assert error is not None
    frozen = [group for group in report.groups if group.frozen]
    share = sum(group.parameters_before for group in frozen) / report.parameters_before
    assert share <= 0.35, report.frozen
    return {
        "name": name,
        "parameters": [report.parameters_before, report.parameters_after],
        "macs": [report.macs_before, report.macs_after],
        "frozen": report.frozen,
        "frozen_share": share,
        "groups": len(report.groups),
        "inexact": report.inexact,
        "alive": alive,
        "changed": difference(outputs(result.model, batch(model)), [dense]),
        "error": error,
    }
