"""Layers of which nothing changes are passed on as they are: what they hold, not what their configuration says."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import batch, check, outputs, randomise

import keras_prune as kp
import keras_prune.tfmot as sparsity
from keras_prune.graph.copying import copy_model
from keras_prune.measurement.copies import copy_to_measure


class Projection(layers.Layer):
    """Numbers drawn when the layer is made, which are no variables."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.matrix = np.random.default_rng().normal(size=(units, units)).astype("float32")

    def call(self, x):
        return ops.matmul(x, self.matrix)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class DrawnLater(layers.Layer):
    """Likewise, drawn in `build`, in a list."""

    def build(self, shape):
        self.matrices = [np.random.default_rng().normal(size=(shape[-1], 4)).astype("float32")]

    def call(self, x):
        return ops.matmul(x, self.matrices[0])


class OfBackend(layers.Layer):
    """A variable of TensorFlow or a parameter of torch, as older examples have it."""

    def build(self, shape):
        drawn = np.random.default_rng().normal(size=(shape[-1], shape[-1])).astype("float32")
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            self.table = tf.Variable(drawn)
        else:
            self.table = ops.convert_to_tensor(drawn)

    def call(self, x):
        return ops.matmul(x, self.table)

    def compute_output_shape(self, shape):
        return shape


class WithoutKwargs(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(x)


class Half(WithoutKwargs):
    """A configuration that its constructor does not take."""

    def get_config(self):
        return {**super().get_config(), "units": 4}


class Ours(keras.regularizers.Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * ops.sum(ops.square(x))

    def get_config(self):
        return {"factor": self.factor}


class Drawn(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return ops.ones(shape, dtype=dtype) * 0.1


class Small(keras.constraints.Constraint):
    def __call__(self, w):
        return ops.clip(w, -1, 1)


def logits(x):
    dense = layers.Dense(4, activation="softmax")
    made = dense(x)
    dense.activation = None
    return made


ENDS = {
    "drawn": lambda x: Projection(8)(x),
    "drawn in build": lambda x: DrawnLater()(x),
    "of the backend": lambda x: OfBackend()(x),
    "without kwargs": lambda x: WithoutKwargs(4)(x),
    "half a configuration": lambda x: Half(4)(x),
    "regularizer": lambda x: layers.Dense(4, kernel_regularizer=Ours(0.1))(x),
    "activity regularizer": lambda x: layers.Dense(4, activity_regularizer=Ours(0.1))(x),
    "initializer": lambda x: layers.Dense(4, kernel_initializer=Drawn())(x),
    "constraint": lambda x: layers.Dense(4, kernel_constraint=Small())(x),
    "no activation": logits,
    "policy": lambda x: layers.Dense(4)(layers.Identity(dtype=keras.DTypePolicy("float32"))(x)),
    "augmentation": lambda x: layers.Dense(4)(layers.GaussianNoise(0.1, seed=1)(x)),
}
COPIES = {
    "channels": lambda model: kp.prune_channels(model, 0.0).model,
    "weights": lambda model: kp.prune_weights(model, 0.0),
    "masks": lambda model: kp.strip_pruning(kp.wrap_pruning(model)),
    "layers": lambda model: copy_model(model, lambda path, layer, copies: copies.copy(path, layer)),
    "tfmot": lambda model: sparsity.strip_pruning(sparsity.prune_low_magnitude(model)),
    "to measure": lambda model: copy_to_measure(model)[1],
}


def ending(name):
    inputs = keras.Input((6,))
    x = layers.Dense(12, activation="relu", name="wide")(inputs)
    return keras.Model(inputs, layers.Dense(2)(ENDS[name](layers.Dense(8, name="narrow")(x))))


@pytest.mark.core
@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_copies_compute_the_same(name, copy):
    model = ending(name)
    expected = outputs(model, batch(model))
    copied = COPIES[copy](model)
    np.testing.assert_allclose(outputs(copied, batch(model)), expected, rtol=1e-6, atol=1e-6)
    assert {id(each) for each in copied.variables}.isdisjoint(id(each) for each in model.variables)


@pytest.mark.core
@pytest.mark.parametrize("name", ENDS)
def test_channels_go_around_them(name):
    model = ending(name)
    randomise(model)
    small = check(model, 0.5)[0].model
    assert small.get_layer("wide").units == 6


@pytest.mark.core
def test_what_the_layers_hold_stays():
    model = ending("regularizer")
    rule = model.layers[-2].kernel_regularizer
    small = kp.prune_channels(model, 0.5).model
    assert isinstance(small.layers[-2].kernel_regularizer, Ours)
    assert small.layers[-2].kernel_regularizer.factor == rule.factor
    assert small.layers[-2].kernel.shape[0] == 4
    assert kp.prune_channels(ending("no activation"), 0.5).model.layers[-2].activation in (
        None,
        keras.activations.linear,
    )


class Scale(layers.Layer):
    """Registered with a rule, but no configuration: it takes what it cannot tell."""

    def __init__(self, start):
        super().__init__()
        self.start = start

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer=self.start)

    def call(self, x):
        return x * self.gamma


@kp.register_rule(Scale)
def scale(call):
    call.bind(call.operation.gamma, 0, call.vector(call.inputs[0]), "through")
    return call.inputs[0]


@pytest.mark.core
def test_a_layer_that_cannot_be_made_smaller_keeps_its_channels_and_is_named():
    inputs = keras.Input((6,))
    x = layers.Dense(8, name="kept")(layers.Dense(8, name="free")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(Scale(keras.initializers.Ones())(x)))
    randomise(model)
    result, _ = check(model, 0.5)
    assert result.model.get_layer("free").units == 4
    assert result.model.get_layer("kept").units == 8
    assert "get_config" in result.report.frozen["kept"]


@pytest.mark.core
def test_a_vectorizer_with_a_function():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("strings are of TensorFlow")
    import tensorflow as tf

    vectorize = layers.TextVectorization(standardize=lambda text: tf.strings.lower(text), output_sequence_length=4)
    vectorize.adapt(["One two", "three two"])
    inputs = keras.Input((1,), dtype="string")
    x = layers.Embedding(6, 8)(vectorize(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(8)(layers.Flatten()(x))))
    text = tf.constant([["TWO three"], ["one none"]])
    same = kp.prune_channels(model, 0.0).model
    np.testing.assert_allclose(same(text), model(text), rtol=1e-6)
    kp.prune_channels(model, 0.5).model(text)
