"""Copies of layers of the user's are compared with the originals: one that would differ in silence is refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_prune as kp
import keras_prune.tfmot as sparsity

pytestmark = pytest.mark.core
SAMPLES = 2  # in a batch to compare on; while a graph is made there is another number, or none


class Projection:
    """Holds a weight of the layer where nobody looks for it."""

    __slots__ = ("kernel",)

    def __init__(self, kernel):
        self.kernel = kernel

    def __call__(self, x):
        return ops.matmul(x, self.kernel)


class Slots(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 8))
        self.project = Projection(self.kernel)

    def call(self, x):
        return self.project(x)

    def compute_output_shape(self, shape):
        return shape


class Refuses(dict):
    def __copy__(self):
        raise TypeError("there is one of it")


class DrawsAgain(layers.Layer):
    """Its attributes cannot be copied, and its configuration does not tell what its constructor draws."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shift = float(np.random.default_rng().normal())
        self.__dict__["handle"] = Refuses()

    def call(self, x):
        return x + self.shift


class ByIdentity(layers.Layer):
    """Finds its scale by an identity that the copy's variable does not have."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones")
        self.scales = {id(self.gamma): 3.0}

    def call(self, x):
        return x * self.gamma * self.scales.get(id(self.gamma), 1.0)


class OneOfItsKind(layers.Layer):
    """Works only as it was first made."""

    made = 0

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.__dict__["handle"] = Refuses()
        OneOfItsKind.made += 1
        self.number = OneOfItsKind.made

    def call(self, x):
        if self.number > 1 and x.shape[0] == SAMPLES:
            raise RuntimeError("there is one of it")
        return x


class Noise(layers.Layer):
    """Never gives the same twice: nothing can be said of its copy."""

    def call(self, x):
        return x[:, :4] + np.random.normal() if x.shape[0] == SAMPLES else x[:, :4]  # noqa: NPY002


class OfOneSample(layers.Layer):
    """Cannot run on what is drawn for it."""

    def call(self, x):
        if x.shape[0] == SAMPLES:
            raise RuntimeError("too many")
        return x


class Penalised(layers.Layer):
    """Changes its state and adds to the loss when it is called."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign_add(1.0)
        self.add_loss(ops.mean(x))
        return x


COPIES = {
    "channels": lambda model: kp.prune_channels(model, 0.0).model,
    "weights": lambda model: kp.prune_weights(model, 0.0),
    "layers": lambda model: kp.prune_layers(model, "spare").model,
    "tfmot": lambda model: sparsity.prune_low_magnitude(model),
}


def around(layer):
    inputs = keras.Input((6,))
    x = layers.Dense(8, name="spare")(layers.Dense(8, name="narrow")(inputs))
    return keras.Model(inputs, layers.Dense(2)(layer(x)))


@pytest.mark.parametrize("kind", [Slots, DrawsAgain, ByIdentity, OneOfItsKind])
@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_that_would_differ_is_refused_by_name(kind, copy):
    if (kind, copy) == (Slots, "channels"):
        pytest.skip("it is written out: see below")
    OneOfItsKind.made = 0
    model = around(kind(name="theirs"))
    before = [ops.convert_to_numpy(each) for each in model.variables]
    with pytest.raises(ValueError, match=rf"'theirs'[\s\S]*Received: a layer of class {kind.__name__}, whose copy"):
        COPIES[copy](model)
    assert all(np.array_equal(ops.convert_to_numpy(v), b) for v, b in zip(model.variables, before, strict=True))


def test_a_weight_that_is_found_when_it_is_used_is_written_out():
    model = around(Slots(name="theirs"))
    small = kp.prune_channels(model, 0.0).model
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    assert {id(each) for each in small.variables}.isdisjoint(id(each) for each in model.variables)


class Free(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 8))
        self.project = None

    def call(self, x):
        return ops.matmul(x, self.kernel) if self.project is None else self.project(x)


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_stripping_compares_too():
    wrapped = kp.wrap_pruning(around(Free(name="theirs")))
    kp.strip_pruning(wrapped)
    theirs = wrapped.get_layer("theirs")
    theirs.__dict__["project"] = Projection(theirs.kernel)
    with pytest.raises(ValueError, match="'theirs'"):
        kp.strip_pruning(wrapped)


@pytest.mark.parametrize("kind", [Noise, OfOneSample, Penalised])
@pytest.mark.parametrize("copy", COPIES)
def test_what_cannot_be_compared_is_copied_and_nothing_changes(kind, copy):
    layer = kind()
    model = around(layer)
    np.random.seed(3)  # noqa: NPY002
    drawn = np.random.normal()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    count = [ops.convert_to_numpy(each) for each in layer.variables]
    COPIES[copy](model)
    assert np.random.normal() == drawn  # noqa: NPY002
    assert [ops.convert_to_numpy(each) for each in layer.variables] == count
    assert not layer.losses


def test_a_model_inside_and_a_wrapper_are_compared_too():
    inner = keras.Sequential([keras.Input((8,)), ByIdentity(name="inside")], name="inner")
    with pytest.raises(ValueError, match="'inside'"):
        kp.wrap_pruning(around(inner))
    steps = keras.Input((3, 8))
    with pytest.raises(ValueError, match="'each'"):
        kp.wrap_pruning(keras.Model(steps, layers.TimeDistributed(Slots(), name="each")(steps)))


def test_layers_of_keras_are_trusted():
    """A `Normalization` whose weights were set computes with what it learnt before; its copy with the weights."""
    norm = layers.Normalization(name="norm")
    norm.adapt(np.random.default_rng(0).normal(3, 2, (50, 8)).astype("float32"))
    model = around(norm)
    norm.set_weights([each * 2 for each in norm.get_weights()])
    for copy in COPIES.values():
        copy(model)
