"""The zeros of pruned models in files, where the converter rightly leaves out part of a kernel."""

import keras
import numpy as np
import pytest

import keras_prune as kp
import tflite_export
from tflite_export import ExportError
from tflite_export.keras_models.kernels import Kernel
from tflite_export.reader.weight_tables import TensorSparsity
from tflite_export.verification.checks import check_zeros

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts")
layers = keras.layers


class Positions(layers.Layer):
    """Adds an embedding of positions, of which there are more than steps."""

    def build(self, shape):
        self.embedding = layers.Embedding(32, shape[-1], name="positions")
        self.embedding.build(None)

    def call(self, x):
        return x + self.embedding(keras.ops.arange(x.shape[1]))


class Auxiliary(keras.Model):
    """A model with a head for training only, whose kernel has the size of another, or one of its own."""

    def __init__(self, width):
        super().__init__()
        self.hidden, self.again = layers.Dense(16, name="hidden"), layers.Dense(16, name="again")
        self.aux, self.head = layers.Dense(width, name="aux"), layers.Dense(3, name="head")

    def call(self, x, training=False):
        x = self.again(self.hidden(x))
        return (self.head(x), self.aux(x))[: 2 if training else 1]


def with_positions():
    ids = keras.Input((12,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(Positions()(layers.Embedding(50, 16, name="tokens")(ids)))
    return keras.Model(ids, layers.Dense(3)(x)), np.arange(24).reshape(2, 12)


def with_auxiliary(width):
    model = Auxiliary(width)
    model(np.zeros((1, 8), "float32"), training=True)
    return model, np.ones((2, 8), "float32")


def with_equal_kernels():
    """Two kernels that are one constant in the file."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="hidden"), layers.Dense(6, name="again")])
    model.layers[1].set_weights(model.layers[0].get_weights())
    return model, np.ones((2, 6), "float32")


@on_tensorflow
@pytest.mark.parametrize(
    ("build", "changed"),
    [
        (with_positions, "positions"),
        (lambda: with_auxiliary(7), "aux"),
        (lambda: with_auxiliary(16), "again, aux"),  # which of the two is dropped, their size does not tell
        (with_equal_kernels, None),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_a_correct_file_of_a_pruned_model_is_written(tmp_path, build, changed, verify):
    model, x = build()
    pruned = kp.prune_weights(model, 0.8)
    report = tflite_export.export(pruned, tmp_path / "model.tflite", inputs=x, verify=verify, sparse=False)
    lines = [line for line in report.warnings if "zeros are in the file" in line]
    assert [line.rpartition("among these: ")[2].rstrip(")") for line in lines] == ([changed] if changed else [])
    expected = keras.tree.flatten(kp.strip_pruning(pruned)(x))[0]
    np.testing.assert_allclose(tflite_export.predict(report.path, x), expected, atol=1e-5)


def kernel(layer, zeros, size=10):
    return Kernel(layer, np.where(np.arange(size) < zeros, 0.0, 1.0 + len(layer)), dense=True)


def weight(elements):
    return TensorSparsity("w", (elements,), "float32", elements, 0, 1, 4 * elements, False, "")


def test_what_is_in_the_file_must_keep_its_zeros():
    kernels = [kernel("a", 8), kernel("bb", 5), kernel("ccc", 7, size=20)]
    whole = [weight(10), weight(10), weight(20)]
    assert check_zeros(kernels, 20, whole) == []
    with pytest.raises(ExportError, match=r"keep the 20 zeros of the .*Received: 19 zeros, with kernels of a, bb, ccc"):
        check_zeros(kernels, 19, whole)
    (line,) = check_zeros(kernels, 12, whole[1:])
    assert "12 zeros are in the file, 20 in the model" in line
    assert "(among these: a, bb)" in line
    with pytest.raises(ExportError, match=r"keep the 12 zeros .* Received: 11 zeros"):
        check_zeros(kernels, 11, whole[1:])  # one of the two of ten: perhaps that with fewer zeros
    assert check_zeros([kernel("a", 8)] * 2, 8, [weight(10)]) == []  # equal kernels are stored once
