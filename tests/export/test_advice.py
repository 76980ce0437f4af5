"""Refusals say which layers, and what to change, before the words of the converter."""

import keras
import numpy as np
import pytest

import tflite_export
from tflite_export import ExportError, subprocesses

layers = keras.layers
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal((16, *shape)).astype("float32")


class TwoArguments(keras.Model):
    def __init__(self, name):
        super().__init__(name=name)
        self.dense = layers.Dense(3)

    def call(self, x, y, training=False):
        return self.dense(x) + y


def two_arguments():
    model = TwoArguments(name="two")
    model(np.ones((1, 4)), np.ones((1, 3)))
    return model


def quantized():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="a"), layers.Dense(3, name="b")])
    model.layers[1].quantize("int8")
    return model


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (quantized, r"as it was before `model.quantize\(\)`.*Received: the quantized layers \['b'\]"),
        (
            lambda: keras.Sequential([keras.Input((8,), dtype="bfloat16", name="x"), layers.Dense(3)]),
            r'dtype="float32"\).*Received: input \'x\' of dtype bfloat16',
        ),
        (two_arguments, r"all inputs as its first argument.*Received: TwoArguments.call with \['y'\]"),
    ],
)
def test_refused_before_the_conversion(tmp_path, build, message):
    with pytest.raises(ValueError, match=message):
        tflite_export.export(build(), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


@on_tensorflow
def test_strings(tmp_path):
    inputs = keras.Input((1,), dtype="string", name="word")
    model = keras.Model(inputs, layers.Embedding(4, 2)(layers.StringLookup(vocabulary=["a", "b"])(inputs)))
    with pytest.raises(ValueError, match=r"begins after StringLookup.*Received: input 'word' of dtype string"):
        tflite_export.export(model, tmp_path / "model.tflite")


def half():
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    stack = [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, dtype=policy, name="half"), layers.Flatten()]
    return keras.Sequential([*stack, layers.Dense(2, dtype="float32", name="whole")])


def classes():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.ops.argmax(layers.Dense(5)(inputs), axis=-1))


def ids():
    return keras.Sequential([keras.Input((6,), dtype="int32"), layers.Embedding(20, 8), layers.Dense(3)])


@on_tensorflow
@pytest.mark.parametrize(
    ("build", "mode", "data", "advice"),
    [
        (half, None, normal(6, 6, 3), "compute in half precision: half. Build the model with the dtype policy"),
        (classes, None, normal(4), "end the model in the scores"),
        (ids, "int16x8", RNG.integers(0, 20, (16, 6)), 'no inputs of integers (input_0): use quantize="int8"'),
        (
            lambda: keras.Sequential([keras.Input((8, 16)), layers.LayerNormalization(), layers.Dense(4)]),
            "int16x8",
            normal(8, 16),
            'int16x8 exists for few operators: use quantize="int8" or "dynamic"',
        ),
    ],
)
def test_advice_comes_first(tmp_path, build, mode, data, advice):
    options = {"quantize": mode, "inputs": data} | ({"representative_data": data} if mode else {})
    with pytest.raises(ExportError) as caught:
        tflite_export.export(build(), tmp_path / "model.tflite", **options)
    first, _, rest = str(caught.value).partition("\n")
    assert advice in first
    assert rest.startswith("the conversion to TensorFlow Lite failed: ")
    assert not list(tmp_path.iterdir())


@on_tensorflow
@pytest.mark.parametrize("value", [-np.inf, -1e9])
def test_masks_that_take_all_of_a_range(tmp_path, value):
    x, mask = keras.Input((6, 4)), np.triu(np.full((6, 6), value, "float32"), 1)
    scores = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))
    model = keras.Model(x, keras.ops.matmul(keras.ops.softmax(scores + mask), x))
    data = normal(6, 4)
    options = {"quantize": "int8", "representative_data": data, "inputs": data}
    try:
        said = " ".join(tflite_export.export(model, tmp_path / "model.tflite", **options).warnings)
    except ExportError as error:
        said = str(error)
    assert "one step of eight bits is 100,000 or more in " in said
    assert 'Use quantize="dynamic"' in said


def test_what_libraries_log_is_left_out():
    log = "WARNING: All log messages before absl\nI0000 00:00:1 port.cc:1] oneDNN\n"
    log += "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
    assert subprocesses._tail(log) == ""
    assert subprocesses._tail(f"{log}\nwords\n") == "; its last words:\nwords"
