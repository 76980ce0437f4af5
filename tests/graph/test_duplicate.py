"""Copies of layers as they are: the same outputs, the same state, no variable in common."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_prune as kp
from keras_prune._keras import flatten
from keras_prune.graph.duplicate import duplicate

ROW, STEPS = np.linspace(-1, 1, 8, dtype="float32")[None], np.linspace(-1, 1, 24, dtype="float32").reshape(1, 3, 8)


def functional():
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(2)(layers.Dense(8)(inputs) + inputs))


def sequential():
    return keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Dropout(0.1), layers.Dense(2)])


class Block(layers.Layer):
    """Layers in containers, in models, behind functions; numbers that are no variables; no configuration."""

    def __init__(self):
        super().__init__()
        self.models = [sequential(), {"functional": functional()}]
        self.first = layers.Dense(8)
        self.lazily = lambda x: self.first(x)
        self.bound = self.first.call
        self.partial = functools.partial(ops.multiply, np.random.default_rng().normal(size=(8,)).astype("float32"))
        self.seen = keras.metrics.Mean()
        self.seeds = keras.random.SeedGenerator(1)
        self.count = {"calls": 0}

    def call(self, x):
        self.count["calls"] += 1
        wide = self.lazily(x) + self.partial(self.bound(x))
        return self.models[0](wide) + self.models[1]["functional"](wide)


class Backbone(keras.Model):
    """A Functional model with a constructor of its own, as keras_hub's."""

    def __init__(self, units=5, **kwargs):
        inner, inputs = layers.Dense(units), keras.Input((8,), name="row")
        hidden = inner(inputs)
        super().__init__(inputs={"row": inputs}, outputs=[hidden, layers.Dense(2)(hidden)], **kwargs)
        self.inner, self.units, self.beside = inner, units, layers.Dropout(0.5)

    def get_config(self):
        return {"name": self.name, "units": self.units}


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def trained():
    model = Subclassed()
    model.compile("adam", "mse")
    model.fit(np.repeat(ROW, 4, 0), np.zeros((4, 3)), verbose=0)
    return model


def adapted():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(size=(10, 8)).astype("float32"))
    return layer


MAKE = {
    "attention": (lambda: layers.MultiHeadAttention(2, 4), (STEPS, STEPS)),
    "recurrent": (lambda: layers.Bidirectional(layers.LSTM(4, recurrent_dropout=0.1)), (STEPS,)),
    "stateful": (lambda: layers.GRU(4, return_sequences=True), (STEPS,)),
    "in time": (lambda: layers.TimeDistributed(functional()), (STEPS,)),
    "spectral": (lambda: layers.SpectralNormalization(layers.Dense(4)), (ROW,)),
    "statistics": (layers.BatchNormalization, (ROW,)),
    "adapted": (adapted, (ROW,)),
    "lambda": (lambda: layers.Lambda(lambda x: x * 2), (ROW,)),
    "sequential": (sequential, (ROW,)),
    "unbuilt sequential": (lambda: keras.Sequential([layers.Dense(4), layers.Dense(2)]), (ROW,)),
    "functional": (functional, (ROW,)),
    "block": (Block, (ROW,)),
    "backbone": (Backbone, ({"row": ROW},)),
    "trained": (trained, (ROW,)),
}


def values(layer, args):
    return [ops.convert_to_numpy(each) for each in keras.tree.flatten(layer(*args))]


@pytest.mark.core
@pytest.mark.parametrize("name", MAKE)
def test_a_copy_computes_the_same_and_shares_nothing(name):
    make, args = MAKE[name]
    layer = make()
    expected = values(layer, args)
    before = [ops.convert_to_numpy(each) for each in layer.variables]
    copy = duplicate(layer)
    assert type(copy) is type(layer)
    assert [part.path for part in flatten(copy)] == [part.path for part in flatten(layer)]
    assert [each.path for each in copy.trainable_variables] == [each.path for each in layer.trainable_variables]
    for one, other in zip(values(copy, args), expected, strict=True):
        assert np.array_equal(one, other)
    for variable in copy.variables:
        variable.assign(ops.zeros(variable.shape, variable.dtype))
    assert all(np.array_equal(ops.convert_to_numpy(v), b) for v, b in zip(layer.variables, before, strict=True))
    if keras.backend.backend() == "torch":
        assert len(list(copy.parameters())) == len(list(layer.parameters()))


@pytest.mark.core
@pytest.mark.parametrize("name", ["attention", "recurrent", "statistics", "sequential", "functional", "backbone"])
def test_a_copy_is_saved_and_trained_as_the_original(name, tmp_path):
    make, args = MAKE[name]
    layer = make()
    layer(*args)
    inputs = keras.tree.map_structure(lambda each: keras.Input(each.shape[1:]), list(args))
    model = keras.Model(inputs, keras.tree.flatten(duplicate(layer)(*inputs))[-1])
    expected = model(list(args))
    model.save(tmp_path / "copy.keras")
    loaded = keras.models.load_model(tmp_path / "copy.keras", custom_objects={"Backbone": Backbone})
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (loaded(list(args)), expected)))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(list(args), ops.convert_to_numpy(expected) + 1, verbose=0)
    assert np.abs(ops.convert_to_numpy(model(list(args)) - expected)).max() > 0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own checkpoints and SavedModels")
@pytest.mark.parametrize("name", ["attention", "recurrent", "statistics", "sequential", "functional", "backbone"])
def test_tensorflow_saves_the_copys_own_variables(name, tmp_path):
    import tensorflow as tf

    make, args = MAKE[name]
    layer = make()
    expected = values(layer, args)
    copy = duplicate(layer)
    checkpoint = tf.train.Checkpoint(layer=copy)
    path = checkpoint.write(str(tmp_path / "checkpoint"))
    for variable in layer.variables:
        variable.assign(ops.ones(variable.shape, variable.dtype))  # the original is trained further
    for variable in copy.variables:
        variable.assign(ops.zeros(variable.shape, variable.dtype))
    checkpoint.read(path)
    for one, other in zip(values(copy, args), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(np.all(ops.convert_to_numpy(variable) == 1) for variable in layer.variables)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own checkpoints and SavedModels")
@pytest.mark.parametrize("change", [kp.wrap_pruning, lambda model: kp.strip_pruning(kp.prune_weights(model, 0.5))])
def test_tensorflow_writes_saved_models_of_copies(change, tmp_path):
    import tensorflow as tf

    model = change(keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)]))
    tf.saved_model.save(model, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    found = loaded.signatures["serving_default"](tf.constant(ROW))
    np.testing.assert_allclose(next(iter(found.values())), model(ROW), rtol=1e-6)


@pytest.mark.core
def test_a_copy_has_its_own_containers_and_arrays():
    block = Block()
    block(ROW)
    copy = duplicate(block)
    calls = block.count["calls"]
    copy(ROW)
    assert block.count["calls"] == calls < copy.count["calls"]
    assert copy.bound.__self__ is copy.first
    assert copy.partial.args[0] is not block.partial.args[0]
    assert copy.seeds.state is not block.seeds.state


@pytest.mark.core
def test_what_cannot_be_copied_is_said():
    class Handle(dict):
        def __copy__(self):
            raise TypeError("there is one of it")

    layer = layers.Identity()
    layer.handle = Handle()
    layer.__dict__["handle"] = Handle()  # Keras made it a dict that it tracks
    with pytest.raises(ValueError, match="there is one of it"):
        duplicate(layer)
