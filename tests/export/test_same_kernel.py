"""Which weights of a file are kernels of the model: their values tell, where their sizes do not."""

import keras
import numpy as np
import pytest

import keras_prune as kp
import tflite_export
from tflite_export import ExportError
from tflite_export.keras_models.kernels import Kernel
from tflite_export.reader import flatbuffer
from tflite_export.reader.weight_tables import TensorSparsity
from tflite_export.verification.checks import check_zeros
from tflite_export.verification.same_kernel import may_be

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
layers, ops = keras.layers, keras.ops


class Mix(layers.Layer):
    """A weight that no name tells to be a kernel."""

    def build(self, shape):
        self.matrix = self.add_weight(name="matrix", shape=(shape[-1], 16), initializer="glorot_uniform")

    def call(self, x):
        return ops.matmul(x, self.matrix)


class Fixed(layers.Layer):
    """The same, of numbers that are no variable."""

    def build(self, shape):
        self.matrix = np.random.default_rng(1).normal(size=(shape[-1], 16)).astype("float32")

    def call(self, x):
        return ops.matmul(x, self.matrix)


class Filter(layers.Layer):
    def build(self, shape):
        self.filters = self.add_weight(name="filters", shape=(3, 3, shape[-1], 8), initializer="glorot_uniform")

    def call(self, x):
        return ops.conv(x, self.filters, padding="same")


class Auxiliary(keras.Model):
    """A head for training only, whose kernel has the size of another weight."""

    def __init__(self, inside, aux, pool=False):
        super().__init__()
        self.inside, self.aux = inside, aux
        self.pool = layers.GlobalAveragePooling2D() if pool else layers.Identity()
        self.head = layers.Dense(3, name="head")

    def call(self, x, training=False):
        hidden = self.inside(x)
        return (self.head(self.pool(hidden)), self.aux(x))[: 2 if training else 1]


MODELS = {
    "variable": (lambda: Auxiliary(Mix(), layers.Dense(16, name="aux")), (16,)),
    "numbers": (lambda: Auxiliary(Fixed(), layers.Dense(16, name="aux")), (16,)),
    "convolution": (lambda: Auxiliary(Filter(), layers.Conv2D(8, 3, name="aux"), pool=True), (8, 8, 4)),
}


@on_tensorflow
@pytest.mark.parametrize("quantize", [None, "dynamic"])
@pytest.mark.parametrize("name", MODELS)
def test_a_dropped_kernel_of_the_size_of_another_weight_is_no_loss(name, quantize, tmp_path):
    make, shape = MODELS[name]
    model = make()
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    model(x, training=True)
    pruned = kp.prune_weights(model, 0.8)
    report = tflite_export.export(pruned, tmp_path / "model.tflite", inputs=x, quantize=quantize, sparse=False)
    (line,) = [line for line in report.warnings if "zeros are in the file" in line]
    assert "aux" in line


def kernel(rng, *shape):
    return rng.normal(size=shape).astype("float32") * (rng.random(shape) < 0.3)


LAYOUTS = {
    "dense": ((24, 16), lambda k: k.T),
    "convolution": ((3, 3, 6, 8), lambda k: k.transpose(3, 0, 1, 2)),
    "scaled": ((3, 3, 6, 8), lambda k: (k * np.linspace(0.1, 3, 8)).transpose(3, 0, 1, 2)),
    "scaled down": ((24, 16), lambda k: (k * np.tile([-2, 0.5], 8)).T),
    "scaled twice": ((24, 16), lambda k: (k * np.linspace(0.1, 3, 24)[:, None] * np.linspace(2, 0.2, 16)).T),
    "depthwise": ((5, 5, 16, 2), lambda k: k.reshape(1, 5, 5, 32)),
    "rounded": ((24, 16), lambda k: np.round(k.T / 0.1) * 0.1),
    "flat": ((24, 16), lambda k: k.reshape(1, 1, 24, 16)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_kernels_are_found_in_the_layouts_of_files(name, rng):
    shape, change = LAYOUTS[name]
    values = kernel(rng, *shape)
    stored = change(values)
    filled = np.where(stored == 0, rng.normal(size=stored.shape), stored)
    assert may_be(values, stored)
    assert may_be(values, filled)  # its zeros are lost
    assert not may_be(values, kernel(rng, *stored.shape))
    assert not may_be(values, rng.normal(size=stored.shape))


def described(values):
    zeros = int(np.count_nonzero(values == 0))
    return TensorSparsity("w", values.shape, "float32", values.size, zeros, 9, values.nbytes, False, "")


def checked(kernels, constants):
    tensors = [described(each) for each in constants]
    return check_zeros(kernels, sum(each.zeros for each in tensors), tensors, lambda: constants)


@pytest.mark.parametrize("name", LAYOUTS)
def test_zeros_that_are_lost_are_refused_as_ever(name, rng):
    shape, change = LAYOUTS[name]
    values = kernel(rng, *shape)
    other, stored = kernel(rng, *shape), change(values)
    filled = np.where(stored == 0, 0.5, stored)
    kernels = [Kernel("one", values, False), Kernel("dropped", other, False)]
    with pytest.raises(ExportError, match=r"must keep the .* zeros .*with kernels of one, dropped"):
        checked(kernels[:1] + kernels[1:], [filled, np.ones(3)])
    assert "dropped" in checked(kernels, [stored, np.ones(3)])[0]


def test_a_constant_of_unknown_values_may_be_any_kernel(rng):
    values = kernel(rng, 24, 16)
    with pytest.raises(ExportError, match="must keep"):
        check_zeros([Kernel("one", values, True)], 0, [described(np.ones((24, 16)))], lambda: [None])
    assert checked([Kernel("one", values, True)], [rng.normal(size=(24, 16))])


@on_tensorflow
@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic", "int8"])
def test_values_of_weights_are_read_as_numbers(kind, tflite_files):
    model, paths = tflite_files
    if kind not in paths:
        pytest.skip("not among them")
    content = paths[kind].read_bytes()
    found = flatbuffer.weight_values(content)
    assert [None if each is None else each.shape for each in found] == [
        each.shape for each in flatbuffer.weights(content)
    ]
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            values = keras.ops.convert_to_numpy(variable.value)
            assert any(each is not None and each.size == values.size and may_be(values, each) for each in found)
