"""`check_sparse_speed`, against kernels made by hand and against what TensorFlow's converter stores."""

import re

import keras
import numpy as np
import pytest
from support import tflite_files as made

import keras_prune as kp
import tflite_export
from tflite_export.sparse_speed import CONVOLUTION, FLOAT, INTEGER

layers = keras.layers


def dense(*kernels):
    """A chain of Dense layers with these kernels, called d0, d1, ..."""
    model = keras.Sequential([keras.Input((len(kernels[0]),))])
    for place, kernel in enumerate(kernels):
        model.add(layers.Dense(kernel.shape[1], use_bias=False, name=f"d{place}"))
        model.layers[-1].kernel.assign(kernel)
    return model


def blocked(inputs, outputs, width, zeros):
    """A kernel with the first blocks of `width` inputs zero in each column."""
    kernel = np.random.default_rng(0).uniform(0.5, 1, (inputs, outputs)).astype("float32")
    kernel[: int(zeros * inputs / width) * width] = 0
    return kernel


def only(report):
    (kernel,) = report.kernels
    return kernel


def test_dense_blocks_by_hand():
    kernel = np.ones((8, 2), "float32")
    kernel[0:4, 0] = kernel[4:8, 1] = 0  # two blocks
    kernel[4:6, 0] = 0  # and two zeros beside them
    row = only(tflite_export.check_sparse_speed(dense(kernel)))
    assert (row.layer, row.shape, row.sparsity, row.in_blocks) == ("d0", (8, 2), 10 / 16, 8 / 10)
    assert (row.effect, row.faster_on, row.smaller) == ("smaller", (), True)
    assert "LITERT_1X4" in row.advice


@pytest.mark.parametrize(
    ("kernel", "effect", "faster_on", "advice"),
    [
        (blocked(32, 4, 4, 0.75), "faster", (FLOAT,), ""),
        (blocked(256, 4, 16, 0.9375), "faster", (FLOAT, INTEGER), ""),
        (blocked(64, 4, 16, 0.75), "faster", (FLOAT,), ""),  # int8 takes more zeros
        (blocked(32, 4, 4, 0.5), "smaller", (), "prune to 62% zeros or more"),
        (blocked(32, 4, 1, 0.0), "nothing", (), "prune with keras_prune.LITERT_1X4"),
        (blocked(30, 4, 3, 0.8), "smaller", (), "its 30 inputs must be a multiple of 4"),
    ],
)
def test_dense_kernels(kernel, effect, faster_on, advice):
    row = only(tflite_export.check_sparse_speed(dense(kernel)))
    assert (row.effect, row.faster_on) == (effect, faster_on)
    assert advice in row.advice
    assert bool(advice) == bool(row.advice)


def test_int8_needs_blocks_of_sixteen_everywhere():
    rows = tflite_export.check_sparse_speed(dense(blocked(256, 64, 16, 0.9375), blocked(64, 8, 4, 0.9375))).kernels
    assert [row.faster_on for row in rows] == [(FLOAT,), (FLOAT,)]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
def test_the_converter_stores_blocks_where_the_report_says_so(tmp_path):
    rng, sizes, kernels = np.random.default_rng(1), (64, 48, 32, 16), []
    for inputs, outputs, stray in zip(sizes, sizes[1:], (0.0, 0.05, 0.12), strict=False):
        kernel, zeros = blocked(inputs, outputs, 4, 0.75), 3 * inputs // 4
        # Of the zeros, so many stand outside of blocks: two at most in each block of the rows that are left.
        rows = [row for row in range(zeros, inputs) if row % 4 < 2]
        places = rng.permutation([outputs * row + column for row in rows for column in range(outputs)])
        kernel.flat[places[: int(stray * zeros * outputs / (1 - stray))]] = 0
        kernels.append(kernel)
    model = dense(*kernels)
    rows = tflite_export.check_sparse_speed(model).kernels
    assert [bool(row.faster_on) for row in rows] == [True, True, False]
    file = made.unpack(made.convert(model, "sparse", tmp_path))
    sparse = {tuple(tensor.shape)[::-1]: tensor.sparsity for tensor in file.subgraphs[0].tensors if tensor.sparsity}
    in_blocks = [len(sparse[row.shape].blockMap) > 0 for row in rows]
    assert in_blocks == [True, True, False]


def mobile(padding="valid", tail=()):
    """The form that XNNPACK can run with channels first, 1x1 kernels 90% zero."""
    x = image = keras.Input((17, 17, 3))
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(8, 3, strides=2, padding=padding, name="stem")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    for place in range(2):
        y = layers.DepthwiseConv2D(3, padding="same", name=f"depthwise{place}")(x)
        y = layers.Conv2D(8, 1, use_bias=False, name=f"point{place}")(y)
        x = x + y  # of keras.ops
    for layer in tail:
        x = layer(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(4, name="head")(x))
    for place in range(2):
        kernel = np.zeros((1, 1, 8, 8), "float32")
        kernel[..., 0, :6] = 1
        model.get_layer(f"point{place}").kernel.assign(kernel)
    return model


def test_pointwise_convolutions():
    report = tflite_export.check_sparse_speed(mobile())
    rows = {row.layer: row for row in report.kernels}
    assert report.obstacles == ()
    assert rows["point0"].faster_on == rows["point1"].faster_on == (CONVOLUTION,)
    assert rows["stem"].effect == rows["depthwise0"].effect == "nothing"
    assert "prune_channels" in rows["stem"].advice
    text = str(report)
    assert "point0: faster on XNNPACK on ARM and WebAssembly" in text
    assert "In the way" not in text


@pytest.mark.parametrize(
    ("model", "obstacle"),
    [
        (lambda: mobile("same"), "stem: the first convolution must be 3x3 with strides 2 on 3 channels"),
        (lambda: mobile(tail=[layers.MaxPooling2D()]), "XNNPACK has no MaxPooling2D there"),
        (lambda: mobile(tail=[layers.Conv2D(8, 3, name="wide")]), "wide: only 1x1 convolutions"),
        (lambda: mobile(tail=[layers.DepthwiseConv2D(3, strides=2, name="d")]), "d: pad with ZeroPadding2D\\(1\\)"),
        (lambda: mobile(tail=[layers.DepthwiseConv2D(7, name="d")]), "d: a depthwise convolution must be 3x3 or 5x5"),
    ],
)
def test_what_is_in_the_way(model, obstacle):
    report = tflite_export.check_sparse_speed(model())
    assert len(report.obstacles) == 1
    assert re.match(f".*{obstacle}", report.obstacles[0])
    rows = {row.layer: row for row in report.kernels}
    assert (rows["point0"].effect, rows["point0"].advice) == ("smaller", "see what is in the way")
    assert report.obstacles[0][:40] in str(report)


def test_too_few_zeros_for_pointwise_convolutions():
    model = mobile()
    model.get_layer("point1").kernel.assign(np.ones((1, 1, 8, 8)))
    row = {row.layer: row for row in tflite_export.check_sparse_speed(model).kernels}["point0"]
    assert not row.faster_on
    assert row.advice == f"more than 2/3 of all 1x1 kernels must be zero for ARM; {58 / 128:.0%} are"


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_masks_count_and_the_model_stays():
    model = kp.wrap_pruning(keras.Sequential([keras.Input((8,)), layers.Dense(4)]))
    before = model.get_weights()
    assert tflite_export.check_sparse_speed(model).kernels[0].effect == "nothing"
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_bad_models():
    for model in ("model", layers.Dense(2), keras.Sequential([layers.Dense(2)])):
        with pytest.raises(ValueError, match=r"`model` must be a built keras.Model. Received: "):
            tflite_export.check_sparse_speed(model)
