"""Networks of recent years: experts, state spaces, retention, splines, capsules, heads that share their keys."""

import keras
import numpy as np
from keras import layers, ops
from networks.text import tokens


def drawn(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


class SwitchFeedForward(layers.Layer):
    """One of several experts for each position, chosen by a router; how evenly it chooses is a loss."""

    def __init__(self, experts, hidden, units, **kwargs):
        super().__init__(**kwargs)
        self.count = experts
        self.router = layers.Dense(experts, name="router")
        self.experts = [
            keras.Sequential([layers.Dense(hidden, activation="relu"), layers.Dense(units)]) for _ in range(experts)
        ]

    def call(self, x):
        probabilities = ops.softmax(self.router(x), axis=-1)
        chosen = ops.one_hot(ops.argmax(probabilities, axis=-1), self.count)
        load = ops.mean(chosen, axis=(0, 1)) * ops.mean(probabilities, axis=(0, 1))
        self.add_loss(self.count * ops.sum(load))
        made = sum(chosen[..., place, None] * expert(x) for place, expert in enumerate(self.experts))
        return ops.sum(probabilities * chosen, axis=-1, keepdims=True) * made


def switch_transformer(units=16):
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, units)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    x = layers.LayerNormalization()(x + SwitchFeedForward(3, 24, units)(x))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))), tokens(6)


class Mixture(keras.Model):
    """Experts side by side, weighed by a softmax."""

    def __init__(self):
        super().__init__()
        self.inward = layers.Dense(16, activation="relu")
        self.experts = [layers.Dense(16, activation="relu") for _ in range(3)]
        self.gate = layers.Dense(3, activation="softmax")
        self.out = layers.Dense(2)

    def call(self, x):
        x = self.inward(x)
        made = ops.stack([expert(x) for expert in self.experts], axis=1)
        return self.out(ops.sum(made * self.gate(x)[:, :, None], axis=1))


def mixture_of_experts():
    model, x = Mixture(), drawn(4, 8)
    model(x)
    return model, x


class SelectiveStateSpace(layers.Layer):
    """A recurrence whose steps depend on the input, written out over time."""

    def __init__(self, units, states=4, **kwargs):
        super().__init__(**kwargs)
        self.units, self.states = units, states
        self.inward = layers.Dense(4 * units, use_bias=False)
        self.conv = layers.DepthwiseConv1D(3, padding="same")
        self.parameters_ = layers.Dense(1 + 2 * states, use_bias=False)
        self.steps = layers.Dense(2 * units)
        self.outward = layers.Dense(units, use_bias=False)

    def build(self, input_shape):
        self.decay = self.add_weight(shape=(2 * self.units, self.states), initializer="ones", name="decay")
        self.skip = self.add_weight(shape=(2 * self.units,), initializer="ones", name="skip")

    def call(self, x):
        u, gate = ops.split(self.inward(x), 2, axis=-1)
        u = ops.silu(self.conv(u))
        made = self.parameters_(u)
        into, out = made[..., None, 1 : 1 + self.states], made[..., None, 1 + self.states :]
        step = ops.softplus(self.steps(made[..., :1]))[..., None]
        keep, add = ops.exp(-step * ops.exp(self.decay)), step * into * u[..., None]
        state, found = ops.zeros_like(add[:, 0]), []
        for time in range(x.shape[1]):
            state = keep[:, time] * state + add[:, time]
            found.append(ops.sum(state * out[:, time], axis=-1))
        return self.outward((ops.stack(found, axis=1) + u * self.skip) * ops.silu(gate))


def state_space():
    inputs = keras.Input((5, 8))
    x = layers.Dense(12)(inputs)
    x = x + SelectiveStateSpace(12)(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(3)(x[:, -1])), drawn(2, 5, 8)


class Retention(layers.Layer):
    """Attention without a softmax: scores decay with the distance, at another rate in each head."""

    def __init__(self, units, heads, **kwargs):
        super().__init__(**kwargs)
        self.units, self.heads = units, heads
        self.query, self.key, self.value = (layers.Dense(units, use_bias=False) for _ in range(3))
        self.gate, self.out = layers.Dense(units), layers.Dense(units)

    def build(self, input_shape):
        place = np.arange(input_shape[1])
        distance = place[:, None] - place
        rates = 1 - 2.0 ** (-5 - np.arange(self.heads))
        decay = np.where(distance >= 0, rates[:, None, None] ** np.abs(distance), 0)
        self.decay = ops.convert_to_tensor(decay, "float32")

    def split(self, x):
        batch, length = ops.shape(x)[:2]
        return ops.transpose(ops.reshape(x, (batch, length, self.heads, self.units // self.heads)), (0, 2, 1, 3))

    def call(self, x):
        scores = ops.matmul(self.split(self.query(x)), ops.swapaxes(self.split(self.key(x)), -1, -2)) * self.decay
        made = ops.transpose(ops.matmul(scores, self.split(self.value(x))), (0, 2, 1, 3))
        return self.out(ops.silu(self.gate(x)) * ops.reshape(made, ops.shape(x)))


def retentive_network():
    inputs = keras.Input((8,), dtype="int32")
    x = layers.Embedding(20, 16)(inputs)
    x = x + Retention(16, 2)(layers.LayerNormalization()(x))
    x = x + layers.Dense(16)(layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x)))
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x))), tokens(8)


class SharedKeys(layers.Layer):
    """Many heads of queries that share one head of keys and values."""

    def __init__(self, units, heads, **kwargs):
        super().__init__(**kwargs)
        self.units, self.heads, self.size = units, heads, units // heads
        self.queries, self.shared, self.out = layers.Dense(units), layers.Dense(2 * self.size), layers.Dense(units)

    def call(self, x, mask=None):
        batch, length = ops.shape(x)[0], ops.shape(x)[1]
        query = ops.transpose(ops.reshape(self.queries(x), (batch, length, self.heads, self.size)), (0, 2, 1, 3))
        key, value = ops.split(self.shared(x), 2, axis=-1)
        scores = ops.matmul(query, ops.swapaxes(key[:, None], -1, -2)) / self.size**0.5
        made = ops.matmul(ops.softmax(scores, axis=-1), value[:, None])
        return self.out(ops.reshape(ops.transpose(made, (0, 2, 1, 3)), (batch, length, self.units)))


def multi_query_transformer():
    inputs = keras.Input((6, 8))
    x = layers.Dense(16)(inputs)
    x = x + SharedKeys(16, 4)(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x))), drawn(2, 6, 8)


class Splines(layers.Layer):
    """A curve for each pair of an input and an output, made of bumps on a grid."""

    def __init__(self, units, grid=5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.grid = units, ops.linspace(-1.0, 1.0, grid)

    def build(self, input_shape):
        self.curves = self.add_weight(shape=(input_shape[-1], self.grid.shape[0], self.units), name="curves")
        self.straight = self.add_weight(shape=(input_shape[-1], self.units), name="straight")

    def call(self, x):
        bumps = ops.exp(-ops.square(2.5 * (x[..., None] - self.grid)))
        return ops.einsum("big,igo->bo", bumps, self.curves) + ops.matmul(ops.silu(x), self.straight)


def kolmogorov_arnold():
    inputs = keras.Input((6,))
    return keras.Model(inputs, Splines(3)(Splines(12)(Splines(16)(inputs)))), drawn(2, 6)


def squash(x):
    square = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return square / (1 + square) / ops.sqrt(square + 1e-7) * x


class Capsules(layers.Layer):
    """Vectors that agree by routing."""

    def __init__(self, count, size, rounds=2, **kwargs):
        super().__init__(**kwargs)
        self.count, self.size, self.rounds = count, size, rounds

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(self.count, input_shape[1], self.size, input_shape[2]), name="kernel")

    def call(self, x):
        votes = ops.einsum("jidk,bik->bjid", self.kernel, x)
        logits = ops.zeros_like(votes[..., 0])
        for _ in range(self.rounds):
            made = squash(ops.einsum("bji,bjid->bjd", ops.softmax(logits, axis=1), votes))
            logits = logits + ops.einsum("bjd,bjid->bji", made, votes)
        return made


def capsule_network():
    inputs = keras.Input((10, 10, 1))
    x = layers.Conv2D(12, 3, activation="relu")(inputs)
    x = squash(layers.Reshape((-1, 8))(layers.Conv2D(16, 3, strides=2)(x)))
    made = ops.sqrt(ops.sum(ops.square(Capsules(3, 6)(x)), axis=-1) + 1e-7)
    return keras.Model(inputs, made), drawn(2, 10, 10, 1)


class Basis(layers.Layer):
    """Says what part of the past it explains, and what it expects."""

    def __init__(self, units, past, future, **kwargs):
        super().__init__(**kwargs)
        self.past, self.future = past, future
        self.hidden = [layers.Dense(units, activation="relu") for _ in range(3)]
        self.theta = layers.Dense(past + future)

    def call(self, x):
        for dense in self.hidden:
            x = dense(x)
        theta = self.theta(x)
        return theta[:, : self.past], theta[:, -self.future :]


def basis_expansion():
    inputs = keras.Input((12,))
    rest, total = inputs, None
    for _ in range(3):
        explained, expected = Basis(24, 12, 4)(rest)
        rest = layers.subtract([rest, explained])
        total = expected if total is None else layers.add([total, expected])
    return keras.Model(inputs, total), drawn(2, 12)


class StandardizedConv2D(layers.Conv2D):
    """A convolution by a kernel of mean 0 and variance 1."""

    def call(self, inputs):
        mean, variance = ops.moments(self.kernel, axes=[0, 1, 2], keepdims=True)
        return self.convolution_op(inputs, (self.kernel - mean) / ops.sqrt(variance + 1e-6))


def standardized_kernels():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            StandardizedConv2D(8, 3, activation="relu"),
            StandardizedConv2D(12, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )
    return model, drawn(2, 8, 8, 1)


def distances():
    """A head of a detector: distances are means over bins, of which each scale has its own."""
    inputs = keras.Input((16, 16, 3))
    x, scales = inputs, []
    for filters in (12, 16):
        x = layers.Activation("silu")(layers.BatchNormalization()(layers.Conv2D(filters, 3, 2, padding="same")(x)))
        first, second = ops.split(x, 2, axis=-1)
        x = layers.Concatenate()([x, first + layers.Conv2D(filters // 2, 3, padding="same")(second)])
        boxes = layers.Conv2D(16, 1)(layers.Conv2D(12, 3, padding="same", activation="silu")(x))
        classes = layers.Conv2D(3, 1)(layers.Conv2D(12, 3, padding="same", activation="silu")(x))
        scales.append(layers.Reshape((-1, 19))(layers.Concatenate()([boxes, classes])))
    made = layers.Concatenate(axis=1)(scales)
    bins = ops.softmax(ops.reshape(made[..., :16], (-1, made.shape[1], 4, 4)), axis=-1)
    sides = ops.sum(bins * ops.arange(4, dtype="float32"), axis=-1)
    return keras.Model(inputs, layers.Concatenate()([sides, ops.sigmoid(made[..., 16:])])), drawn(2, 16, 16, 3)
