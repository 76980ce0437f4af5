"""Models with code of their own, tiny: subclassed ones, composite layers, graphs with a constructor. None registers its
classes or has a configuration, unless it says so."""

import keras
import numpy as np
from keras import layers, ops

import keras_prune as kp


class FeedForward(layers.Layer):
    def __init__(self, units, rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.wide, self.narrow = layers.Dense(2 * units, activation="gelu"), layers.Dense(units)
        self.drop = layers.Dropout(rate)

    def call(self, x):
        return self.drop(self.narrow(self.wide(x)))


class Block(layers.Layer):
    """A transformer's block before which its inputs are normalised."""

    def __init__(self, units, heads=2, rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.norm_2 = layers.LayerNormalization(), layers.LayerNormalization()
        self.attention = layers.MultiHeadAttention(heads, units // heads)
        self.ffn = FeedForward(units, rate, name="ffn")

    def call(self, x):
        normed = self.norm(x)
        x = x + self.attention(normed, normed)
        return x + self.ffn(self.norm_2(x))


class VisionTransformer(keras.Model):
    """Patches, a class token and positions of its own, a list of blocks."""

    def __init__(self, units=8, depth=2, rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.patches = layers.Conv2D(units, 4, 4, name="patches")
        self.blocks = [Block(units, rate=rate, name=f"block_{index}") for index in range(depth)]
        self.norm, self.head = layers.LayerNormalization(name="norm"), layers.Dense(3, name="head")
        self.units = units

    def build(self, shape):
        count = (shape[1] // 4) * (shape[2] // 4) + 1
        self.token = self.add_weight(shape=(1, 1, self.units), name="token")
        self.positions = self.add_weight(shape=(1, count, self.units), name="positions")
        super().build(shape)

    def call(self, images):
        x = self.patches(images)
        batch = ops.shape(x)[0]
        x = ops.reshape(x, (batch, -1, self.units))
        x = ops.concatenate([ops.tile(self.token, [batch, 1, 1]), x], axis=1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class Positions(layers.Layer):
    """Embeddings of tokens and of places: the second is called on a constant."""

    def __init__(self, size, length, units, mask_zero=False, **kwargs):
        super().__init__(**kwargs)
        self.tokens = layers.Embedding(size, units, mask_zero=mask_zero)
        self.places = layers.Embedding(length, units)

    def call(self, ids):
        return self.tokens(ids) + self.places(ops.arange(ids.shape[-1]))

    def compute_mask(self, ids, mask=None):
        return self.tokens.compute_mask(ids)


class LanguageModel(keras.Model):
    """The table of its tokens is the transposed kernel of its last product."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = Positions(11, 6, 8, name="embedding")
        self.block = Block(8, name="block")

    def call(self, ids):
        x = self.block(self.embedding(ids))
        return ops.matmul(x, ops.transpose(self.embedding.tokens.embeddings))


class ResidualUnit(layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.convolutions = [layers.Conv2D(filters, 3, padding="same", use_bias=False) for _ in range(2)]
        self.norms = {"first": layers.BatchNormalization(), "second": layers.BatchNormalization()}

    def call(self, x):
        y = ops.relu(self.norms["first"](self.convolutions[0](x)))
        return ops.relu(self.norms["second"](self.convolutions[1](y)) + x)


class ResNet(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem = layers.Conv2D(4, 3, padding="same", name="stem")
        self.body = keras.Sequential([ResidualUnit(4, name="one"), ResidualUnit(4, name="two")], name="body")
        self.pool, self.head = layers.GlobalAveragePooling2D(), layers.Dense(3, name="head")

    # Keras trains a model without this argument as at inference, and on JAX layers that do not get it from here.
    def call(self, images, training=None):
        return self.head(self.pool(self.body(self.stem(images), training=training)))


class Kept(layers.Layer):
    """Weights of its own in an attribute, a list and a dict."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        def weight(name):
            return self.add_weight(shape=(shape[-1], self.units), name=name)

        self.kernel, self.more, self.named = weight("kernel"), [weight("a"), weight("b")], {"c": weight("c")}
        self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")

    def call(self, x):
        y = ops.matmul(x, self.kernel) + x @ self.more[0] + ops.einsum("bi,ij->bj", x, self.more[1])
        return (y - ops.dot(x, self.named["c"])) * self.scale


class Twice(layers.Layer):
    """A layer that is used twice, and a block too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.ffn = layers.Dense(6, "tanh"), FeedForward(6)

    def call(self, x):
        return self.ffn(self.dense(self.dense(x))) + self.ffn(x)


class Padded(layers.Layer):
    """Masks pass through it to what counts only the steps that are there."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.embedding, self.dense = layers.Embedding(9, 6, mask_zero=True), layers.Dense(6)
        self.attention, self.lstm = layers.MultiHeadAttention(2, 3), layers.LSTM(4)

    def call(self, ids):
        x = self.dense(self.embedding(ids))
        return self.lstm(self.attention(x, x))


class ReadsMask(layers.Layer):
    """Its code takes the mask: the mean of the steps that are there."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.dense = layers.Dense(5)

    def build(self, shape):
        self.dense.build((shape[0], shape[-1]))

    def compute_mask(self, x, mask=None):
        return None

    def call(self, x, mask=None):
        weights = ops.expand_dims(ops.cast(mask, x.dtype), -1)
        return self.dense(ops.sum(x * weights, 1) / ops.maximum(ops.sum(weights, 1), 1.0))


class Doubled(keras.Model):
    """Several inputs by name, and several outputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left, self.right, self.both = layers.Dense(4), layers.Dense(4), FeedForward(8)

    def call(self, inputs):
        x = ops.concatenate([self.left(inputs["left"]), self.right(inputs["right"])], -1)
        x = self.both(x)
        return {"sum": ops.sum(x, -1), "all": [x, ops.max(x, -1, keepdims=True)]}


class Net(keras.Model):
    """A Functional model with a constructor of its own, as those of kimm and keras_hub."""

    def __init__(self, units=6, **kwargs):
        inputs = keras.Input((8,), name="features")
        hidden = FeedForward(units, name="ffn")(layers.Dense(units, "relu", name="first")(inputs))
        super().__init__(inputs=inputs, outputs=layers.Dense(2, name="last")(hidden), **kwargs)
        self.units = units


class Around(keras.Model):
    """A Sequential, a Functional model and one with a constructor of its own, inside a subclassed model."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        inputs = keras.Input((8,))
        self.functional = keras.Model(inputs, layers.Dense(8)(inputs) + inputs, name="functional")
        self.sequential = keras.Sequential([layers.Dense(8, "relu"), FeedForward(8)], name="sequential")
        self.net = Net(name="net")

    def call(self, x):
        return self.net(self.sequential(self.functional(x)))


def called(model, *shapes, dtype="float32"):
    """The model, after a call on zeros of these shapes."""
    arrays = [np.zeros((2, *shape), dtype) for shape in shapes]
    model(arrays[0] if len(arrays) == 1 else arrays)
    return model


def functional(layer, shape, dtype="float32"):
    """A Functional model around a custom layer."""
    inputs = keras.Input(shape, dtype=dtype, name="given")
    return keras.Model(inputs, layers.Dense(3, name="head")(layer(inputs)))


def masked_mean():
    ids = keras.Input((5,), dtype="int32", name="ids")
    x = layers.Embedding(9, 4, mask_zero=True)(ids)
    return keras.Model(ids, ReadsMask(name="mean")(x))


def doubled():
    model = Doubled()
    model({"left": np.zeros((2, 3), "float32"), "right": np.zeros((2, 5), "float32")})
    return model


def stacked_backbone():
    """A graph that is called as a layer, with custom layers in both."""
    net = Net(name="backbone")
    inputs = keras.Input((8,))
    return keras.Model(inputs, Kept(2, name="top")(net(inputs)))


# By name: what makes the model, and the example that tells what it takes.
MODELS = {
    "vision transformer": (lambda: called(VisionTransformer(), (8, 8, 3)), None),
    "language model": (lambda: called(LanguageModel(), (6,), dtype="int32"), np.zeros((1, 6), "int32")),
    "residual network": (lambda: called(ResNet(), (6, 6, 3)), None),
    "weights of its own": (lambda: functional(Kept(4), (5,)), None),
    "used twice": (lambda: functional(Twice(), (6,)), None),
    "padded": (lambda: functional(Padded(), (7,), "int32"), None),
    "code reads the mask": (masked_mean, None),
    "inputs by name": (doubled, None),
    "a constructor of its own": (Net, None),
    "models inside": (lambda: called(Around(), (8,)), None),
    "a backbone as a layer": (stacked_backbone, None),
}


def make(name):
    """One of them, with random numbers in all weights: ones and zeros would hide what is missing."""
    model, random = MODELS[name][0](), np.random.default_rng(0)
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            drawn = random.normal(scale=0.5, size=weight.shape)
            weight.assign(np.abs(drawn) + 0.5 if "variance" in weight.path else drawn)
    return model


def expanded(model, name):
    """What `expand` makes of it."""
    return kp.expand(model, example=MODELS[name][1])


def data(name, count, seed=0):
    """Inputs for it."""
    random = np.random.default_rng(seed)

    def floats(*shape):
        return random.normal(size=(count, *shape)).astype("float32")

    def numbers(length):
        drawn = random.integers(1, 9, (count, length)).astype("int32")
        drawn[:, length - 2 :] = np.where(
            np.arange(count)[:, None] % 2, drawn[:, length - 2 :], 0
        )  # every other padded
        return drawn

    shapes = {
        "vision transformer": (8, 8, 3),
        "residual network": (6, 6, 3),
        "weights of its own": (5,),
        "used twice": (6,),
    }
    lengths = {"language model": 6, "padded": 7, "code reads the mask": 5}
    if name == "inputs by name":
        return {"left": floats(3), "right": floats(5)}
    return numbers(lengths[name]) if name in lengths else floats(*shapes.get(name, (8,)))


def outputs(model, inputs, training=False):
    """Its outputs in NumPy."""
    return [ops.convert_to_numpy(each) for each in keras.tree.flatten(model(inputs, training=training))]


def assert_same(model, made, *inputs, training=False, rtol=1e-4, atol=1e-5):
    """Both compute the same outputs of these inputs."""
    for each in inputs:
        for one, other in zip(outputs(made, each, training), outputs(model, each, training), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            one, other = (array.astype("float32") for array in (one, other))
            np.testing.assert_allclose(one, other, rtol=rtol, atol=atol * max(1, np.abs(other).max()))
