"""The architectures of `keras.applications`, each pruned and compared with the oracle: in the suite, and by
tools/proof.py."""

import keras
import numpy as np
from keras import ops
from support.channel_zoo import batch, check, difference, outputs, randomise

from keras_prune.reconstruction.recalibrate import recalibrate_statistics, recalibration_batches

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


# Their random weights amplify rounding so much that single precision says nothing (2.6e-4 and 9e-6 were seen): double
# precision it is.
DOUBLE = ("EfficientNetB4", "EfficientNetB5")


def names():
    """All architectures, by name."""
    return [name for name in sorted(dir(keras.applications)) if name[0].isupper()]


def build(name):
    size = SIZES.get(name, 32)
    # Its preprocessing expects pixels of 0 to 255, and would make nearly the same image of all random ones.
    raw = {"include_preprocessing": False} if name.startswith("ConvNeXt") else {}
    # Logits: a softmax would hide differences where it saturates.
    return getattr(keras.applications, name)(
        weights=None, classes=10, input_shape=(size, size, 3), classifier_activation=None, **raw
    )


def enliven(model):
    """Random weights that let signals through, however deep the network.

    With statistics that have nothing to do with what flows, activations die or saturate on the way, and the output no
    longer depends on the input: the oracle would compare constants. So the statistics are measured, then disturbed.
    ConvNeXt has none, and kernels of deviation 0.02, small beside the biases: such kernels are made larger. VGG has no
    normalisation at all, and ReLU halves the variance in each layer: its kernels are made larger by a root of two.
    """
    randomise(model)
    normalised = any("Normalization" in type(layer).__name__ for layer in model.layers)
    for weight in model.weights:
        if len(weight.shape) > 1 and weight.path.endswith("kernel"):
            values = ops.convert_to_numpy(weight.value)
            usual = np.prod(weight.shape[:-1]) ** -0.5
            if not normalised:
                weight.assign(values * (2**0.5 * usual / values.std()))
            elif values.std() < 0.5 * usual:
                weight.assign(values * (usual / values.std()))
    recalibrate_statistics(model, recalibration_batches(model, batch(model, 16, seed=2)))
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            mean = ops.convert_to_numpy(layer.moving_mean)
            variance = ops.convert_to_numpy(layer.moving_variance)
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
        _, error = check(model, prepare=lambda model: model, ratios=dict.fromkeys(report.inexact))
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
        "precision": keras.config.floatx(),
    }
