"""Functions as activations, and custom layers without a rule, that map each entry alone: their channels go along."""

import functools
import random

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import check

import keras_prune as kp
from keras_prune.tracing.rules.activations import is_elementwise


class Swish:
    """An object that is called."""

    def __init__(self, beta):
        self.beta = beta

    def __call__(self, x):
        return x * ops.sigmoid(self.beta * x)


def gelu_approximate(x):
    return keras.activations.gelu(x, approximate=True)


ENTRYWISE = {
    "operation": ops.gelu,
    "square": ops.square,
    "lambda": lambda x: ops.relu(x) * 2.0,
    "squared relu": lambda x: keras.activations.relu(x, max_value=6.0) ** 2,
    "hard": lambda x: 1 - ops.hard_silu(x),
    "by hand": lambda x: 0.5 * x * (1.0 + ops.tanh(0.79788456 * (x + 0.044715 * x**3))),
    "where": lambda x: ops.where(x > 0, x, 0.1 * x),
    "approximate": gelu_approximate,
    "partial": functools.partial(keras.activations.leaky_relu, negative_slope=0.3),
    "object": Swish(1.5),
    "layer": layers.Activation("gelu"),
}
OTHERS = {
    "softmax": ops.softmax,
    "softmax in it": lambda x: x * keras.activations.softmax(x),
    "centred": lambda x: x - ops.mean(x, -1, keepdims=True),
    "by their number": lambda x: x / x.shape[-1],
    "each its own": lambda x: x * np.arange(x.shape[-1]),
    "turned": lambda x: ops.flip(x, -1),
    "summed": lambda x: ops.cumsum(x, -1),
    "softmax layer": layers.Activation("softmax"),
    "weights": layers.PReLU(),
    "not for this": lambda x: x["a"],
}


def of_backend():
    """Functions of the backend itself."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return [tf.nn.gelu, tf.nn.relu6, tf.nn.leaky_relu, tf.math.sigmoid, tf.tanh]
        case "jax":
            import jax

            return [jax.nn.gelu, jax.nn.silu, jax.nn.hard_swish, jax.numpy.tanh]
        case _:
            import torch

            return [torch.nn.functional.gelu, torch.nn.functional.silu, torch.tanh, torch.relu]


def mixing_of_backend():
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return [tf.nn.softmax, lambda x: tf.nn.softmax(x)]
        case "jax":
            import jax

            return [jax.nn.softmax, lambda x: jax.nn.softmax(x)]
        case _:
            import torch

            return [functools.partial(torch.softmax, dim=-1)]


@pytest.mark.core
def test_functions_are_told_apart():
    assert [name for name, function in ENTRYWISE.items() if not is_elementwise(function)] == []
    assert [name for name, function in OTHERS.items() if is_elementwise(function)] == []
    assert all(is_elementwise(function) for function in of_backend())
    assert not any(is_elementwise(function) for function in mixing_of_backend())


def mlp(activation, *middle):
    x = inputs = keras.Input((5,))
    x = layers.Dense(8, activation=activation, name="wide")(x)
    for layer in middle:
        x = layer(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(6, name="after")(x)))


@pytest.mark.core
@pytest.mark.parametrize("name", ["square", "lambda", "squared relu", "object"])
def test_channels_are_removed_before_functions(name):
    result, _ = check(mlp(ENTRYWISE[name]))
    assert set(result.plan.removed) == {"wide", "after"}


@pytest.mark.core
def test_channels_are_removed_before_functions_of_the_backend():
    for function in of_backend()[:2]:
        assert "wide" in check(mlp(function))[0].plan.removed


@pytest.mark.core
@pytest.mark.parametrize("name", ["softmax in it", "by their number"])
def test_channels_before_other_functions_are_kept_and_named(name):
    result, _ = check(mlp(OTHERS[name]))
    assert "may mix channels" in result.report.frozen["wide"]


class LayerScale(layers.Layer):
    """As in CaiT and ConvNeXt: the number of channels is an argument."""

    def __init__(self, init_values, projection_dim, **kwargs):
        super().__init__(**kwargs)
        self.init_values, self.projection_dim = init_values, projection_dim
        self.gamma = self.add_weight(shape=(projection_dim,), initializer="ones", name="gamma")

    def call(self, x):
        return x * self.gamma

    def get_config(self):
        return {**super().get_config(), "init_values": self.init_values, "projection_dim": self.projection_dim}


class Affine(layers.Layer):
    """A scale and a shift, of the size of the inputs; no configuration of its own."""

    def build(self, shape):
        self.alpha = self.add_weight(shape=(1, shape[-1]), initializer="ones")
        self.beta = self.add_weight(shape=(shape[-1],), initializer="zeros")
        self.strength = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return self.strength * x * self.alpha + self.beta


class StochasticDepth(layers.Layer):
    def __init__(self, drop_prob=0.5, **kwargs):
        super().__init__(**kwargs)
        self.drop_prob = drop_prob
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x, training=None):
        if not training:
            return x
        keep = 1 - self.drop_prob
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        return x / keep * ops.floor(keep + keras.random.uniform(shape, seed=self.seeds))

    def get_config(self):
        return {**super().get_config(), "drop_prob": self.drop_prob}


class Gelu(layers.Layer):
    """With a layer inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout = layers.Dropout(0.1)

    def call(self, x):
        return self.dropout(ops.gelu(x))


GOES_ALONG = {
    "layer scale": lambda: LayerScale(1e-2, 8),
    "affine": Affine,
    "stochastic depth": StochasticDepth,
    "gelu": Gelu,
}


@pytest.mark.core
@pytest.mark.parametrize("name", GOES_ALONG)
def test_channels_are_removed_through_custom_layers(name, tmp_path):
    layer = GOES_ALONG[name]()
    model = mlp("relu", layer)
    held = len(layer._inbound_nodes), [len(part._inbound_nodes) for part in layer._flatten_layers()]
    result, _ = check(model)
    assert held == (len(layer._inbound_nodes), [len(part._inbound_nodes) for part in layer._flatten_layers()])
    assert set(result.plan.removed) == {"wide", "after"}
    assert result.report.unknown == {}
    small, x = result.model, np.ones((3, 5), "float32")
    small.compile("sgd", "mse")
    small.fit(x, np.ones((3, 2)), verbose=0)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras", custom_objects={type(layer).__name__: type(layer)})
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (loaded(x), small(x))), rtol=1e-5)


class Fixed(LayerScale):
    """Its configuration does not tell the number of channels."""

    def __init__(self, **kwargs):
        super().__init__(1e-2, 8, **kwargs)

    def get_config(self):
        return layers.Layer.get_config(self)


class Rooted(layers.Layer):
    """It scales by the number of channels."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.gamma / np.sqrt(x.shape[-1])


class Gate(layers.Layer):
    """One channel decides about all."""

    def call(self, x):
        return x * ops.sigmoid(x[..., :1])


class Drawn(layers.Layer):
    """It has numbers for each channel that are no variables."""

    def build(self, shape):
        self.factors = np.random.default_rng().normal(size=(shape[-1],)).astype("float32")

    def call(self, x):
        return ops.multiply(x, self.factors)


class Turned(layers.Layer):
    """Its weights do not lie as the channels do."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * ops.flip(self.gamma)


@pytest.mark.core
@pytest.mark.parametrize("kind", [Fixed, Rooted, Gate, Drawn, Turned], ids=lambda kind: kind.__name__)
def test_other_custom_layers_are_written_out(kind):
    result, _ = check(mlp("relu", kind(name="odd")))
    assert "after" in result.plan.removed
    assert result.report.expanded == (f"'functional' (Functional) was written out as a graph: {kind.__name__}",)


@pytest.mark.core
def test_positions_and_channels_of_images():
    class Positions(layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=shape[1:], initializer="normal")

        def call(self, x):
            return x + self.table

    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, activation=lambda x: ops.relu(x) ** 2, name="wide")(inputs)
    x = layers.Add()([x, Affine()(layers.Conv2D(8, 1, name="beside")(x))])
    x = layers.Reshape((16, 8))(x)
    x = layers.GlobalAveragePooling1D()(Positions()(x))
    result, _ = check(keras.Model(inputs, layers.Dense(2)(x)))
    assert set(result.plan.removed) == {"wide"}
    assert kp.analyze_channels(result.model).unknown == {}


@pytest.mark.parametrize("read", [kp.analyze_channels, kp.analyze_layers, kp.cost])
def test_reading_a_model_takes_no_names_and_random_numbers(read):
    def later(reads):
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, lambda x: x * ops.sigmoid(x)), Own()])
        for function in reads:
            function(model)
        layer = Own()
        return layer.name, ops.convert_to_numpy(layer(np.ones((1, 6), "float32"))), random.random()

    class Own(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), initializer="normal")

        def call(self, x):
            return x * self.scale

    expected, found = later([]), later([read, read])
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])
    assert found[2] == expected[2]
