import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import cnn, mlp, nested

import keras_prune as kp


def test_counts_by_hand():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="one"), layers.BatchNormalization(name="norm")])
    kernel = np.ones((4, 5), "float32")
    kernel[0] = 0
    model.layers[0].set_weights([kernel, np.arange(5, dtype="float32")])
    report = kp.summary(model)
    assert (report.prunable, report.prunable_zeros) == (20, 5)
    assert report.prunable_sparsity == 0.25
    # 20 + 5 in the dense layer; gamma (ones), beta (zeros), mean (zeros), variance (ones) in the other.
    assert (report.parameters, report.zeros) == (45, 5 + 1 + 10)
    assert report.sparsity == 16 / 45
    one, norm = report.layers
    assert (one.kind, one.masked, one.reason) == ("Dense", False, "not wrapped")
    assert one.weights[0].sparsity == 0.25
    assert norm.reason == "never pruned"


def test_masks_are_not_counted_as_parameters():
    model = cnn()
    plain, wrapped = kp.summary(model), kp.summary(kp.wrap_pruning(model))
    assert wrapped.parameters == plain.parameters == model.count_params()
    assert wrapped.prunable == plain.prunable
    assert [layer.name for layer in wrapped.masked] == ["conv1", "dense"]
    assert {layer.name: layer.reason for layer in wrapped.skipped} == {
        "norm": "never pruned",
        "flatten": "has no weights",
    }


def test_the_string_is_a_table():
    text = str(kp.summary(kp.prune_weights(nested(), 0.5)))
    for part in ("encoder/dense", "decoder/dense", "Prunable weights", "Whole model", "50.00%", "(6, 5)"):
        assert part in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_single_layer_and_wrong_types():
    layer = layers.Dense(3)
    layer.build((None, 4))
    assert kp.summary(kp.wrap_pruning(layer)).prunable == 12
    with pytest.raises(TypeError, match="Received: model=3"):
        kp.summary(3)


def test_partial_wrapping_says_what_was_not_wrapped():
    report = kp.summary(kp.wrap_pruning(mlp(), layers="output"))
    assert [layer.reason for layer in report.layers] == ["not wrapped", "not wrapped", ""]


def test_names_are_no_markup():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head[red]")])
    assert "head[red]" in str(kp.summary(model))
