"""The blocks of random graphs, by the number of dimensions of the tensor that they take.

Each is a function `(x, other, width, option, name) -> tensor`: `x` is the newest tensor, `other` an older one of as
many dimensions (or the same), `width` the channels to make. Blocks are small, and values stay near 1.
"""

import keras
from keras import layers, ops


def pick(option, *choices):
    return choices[option % len(choices)]


def dense(x, width, activation=None, name=None):
    return layers.Dense(width, activation, name=name)(x)


def flatten(x):
    return x if len(x.shape) == 2 else layers.Flatten()(x)


def conv(x, width, size=3, name=None, **arguments):
    kind = {4: layers.Conv2D, 3: layers.Conv1D}[len(x.shape)]
    return kind(width, size, padding="same", name=name, **arguments)(x)


def mix(x, width, name=None):
    """Any layer that makes `width` channels of the last axis, at the same positions."""
    return dense(x, width, name=name) if len(x.shape) < 4 else conv(x, width, 1, name=name)


def fit(other, x, name):
    """The older tensor, with the shape of the newer one: itself where it has it."""
    if other.shape == x.shape:
        return other
    if other.shape[1:-1] == x.shape[1:-1]:
        return mix(other, x.shape[-1], f"{name}_fit")
    pooled = other if len(other.shape) == 2 else ops.mean(other, axis=tuple(range(1, len(other.shape) - 1)))
    pooled = dense(pooled, x.shape[-1], name=f"{name}_fit")
    return ops.reshape(pooled, (-1, *[1] * (len(x.shape) - 2), x.shape[-1])) + ops.zeros_like(x)


# Of any tensor


def activation(x, other, width, option, name):
    shared = list(range(1, len(x.shape) - 1)) or None
    function = pick(option, layers.ReLU(name=name), layers.PReLU("he_normal", shared_axes=shared, name=name), ops.silu)
    return function(x)


def norm(x, other, width, option, name):
    return layers.BatchNormalization(name=name)(x)


def arithmetic(x, other, width, option, name):
    return pick(
        option, lambda: x * 0.5 + 1.0, lambda: ops.tanh(x), lambda: layers.Dropout(0.5)(-x), lambda: ops.abs(x)
    )()


def merge(x, other, width, option, name):
    other = fit(other, x, name)
    kind = pick(option, layers.Add, layers.Maximum, layers.Average, layers.Subtract)
    return kind(name=name)([x, other])


def residual(x, other, width, option, name):
    y = ops.relu(mix(x, width, f"{name}_narrow"))
    return layers.Add(name=name)([x, mix(y, x.shape[-1], f"{name}_wide")])


def concat(x, other, width, option, name):
    y = mix(other, width, name) if other.shape[1:-1] == x.shape[1:-1] else mix(x, width, name)
    parts = pick(option, [x, y], [y, x], [x, y, x])
    return layers.Concatenate()(parts)


def split(x, other, width, option, name):
    x = mix(x, 2 * width, name)
    left, right = ops.split(x, 2, axis=-1)
    right = mix(right, width, f"{name}_right")
    return pick(option, lambda: layers.Concatenate()([left, right]), lambda: left * ops.sigmoid(right))()


def shuffle(x, other, width, option, name):
    """Channel shuffle, and back again or not."""
    x = mix(x, 2 * width, name)
    shape = x.shape[1:-1]
    x = layers.Reshape((*shape, 2, width))(x)
    x = ops.swapaxes(x, -1, -2)
    return layers.Reshape((*shape, 2 * width))(x)


def gate(x, other, width, option, name):
    pooled = x if len(x.shape) == 2 else ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)), keepdims=True)
    scale = dense(dense(pooled, width, "relu", f"{name}_squeeze"), x.shape[-1], "sigmoid", f"{name}_excite")
    alone = mix(x, 1, f"{name}_alone")  # one gate for all channels
    return pick(option, lambda: x * scale, lambda: layers.Multiply()([x, scale]), lambda: x * ops.sigmoid(alone))()


def shared(x, other, width, option, name):
    """One layer, used twice."""
    other = fit(other, x, name)
    layer = layers.Dense(width, name=name)
    first, second = layer(x), layer(other)
    return pick(option, lambda: layers.Concatenate()([first, second]), lambda: first + ops.tanh(second))()


def nested(x, other, width, option, name):
    """A model in the model, used once or twice."""
    inside = keras.Input(x.shape[1:])
    y = layers.Dense(width, "relu", name="narrow")(inside)
    back = layers.Dense(x.shape[-1], name="wide")(y)
    sequential = keras.Sequential([inside, layers.Dense(width, name="only")], name=name)
    if option % 3 == 0:
        return sequential(x)
    inner = keras.Model(inside, back, name=name)
    return inner(x) if option % 3 == 1 else x + inner(ops.tanh(inner(x)))


def pad(x, other, width, option, name):
    """Zeros beside the channels, or the channels of some positions only."""
    if option % 2 and len(x.shape) > 2 and x.shape[1] > 1:
        return x[:, 1:]
    return ops.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, 1]])


EVERY = {
    each.__name__: each
    for each in (activation, norm, arithmetic, merge, residual, concat, split, shuffle, gate, shared, nested, pad)
}


# Of images


def convolution(x, other, width, option, name):
    large = min(x.shape[1:3]) > 2
    return pick(
        option,
        lambda: conv(x, width, name=name),
        lambda: conv(x, width, 2, name=name, strides=2 if large else 1, use_bias=False),
        lambda: conv(mix(x, 2 * width, f"{name}_in"), 2 * width, name=name, groups=2),
        lambda: conv(mix(x, 4 * width, f"{name}_in"), 2 * width, name=name, groups=width),
    )()


def separable(x, other, width, option, name):
    return pick(
        option,
        lambda: layers.DepthwiseConv2D(3, padding="same", name=name)(x),
        lambda: layers.DepthwiseConv2D(2, padding="same", depth_multiplier=2, name=name)(x),
        lambda: layers.SeparableConv2D(width, 3, padding="same", name=name)(x),
    )()


def resize(x, other, width, option, name):
    large = min(x.shape[1:3]) > 2
    return pick(
        option,
        lambda: layers.MaxPooling2D(2, padding="same")(x),
        lambda: layers.AveragePooling2D(2, strides=1, padding="same")(x),
        lambda: layers.Cropping2D(1)(layers.ZeroPadding2D(1)(x)) if large else layers.UpSampling2D()(x),
        lambda: layers.Conv2DTranspose(width, 2, strides=1 if large else 2, name=name)(x),
    )()


# Of sequences


def convolution_1d(x, other, width, option, name):
    return pick(
        option,
        lambda: conv(x, width, 2, name=name),
        lambda: layers.Conv1D(width, 2, padding="causal", dilation_rate=2, name=name)(x),
        lambda: layers.SeparableConv1D(width, 2, padding="same", depth_multiplier=2, name=name)(x),
        lambda: layers.MaxPooling1D(2, padding="same")(x),
    )()


def recurrent(x, other, width, option, name):
    return pick(
        option,
        lambda: layers.GRU(width, return_sequences=True, name=name)(x),
        lambda: layers.LSTM(width, return_sequences=True, name=name)(x),
        lambda: layers.SimpleRNN(width, return_sequences=True, name=name)(x),
        lambda: layers.GRU(width, return_sequences=True, reset_after=False, name=name)(x),
    )()


def wrapped(x, other, width, option, name):
    return pick(
        option,
        lambda: layers.TimeDistributed(layers.Dense(width), name=name)(x),
        lambda: layers.Bidirectional(layers.SimpleRNN(width, return_sequences=True), name=name)(x),
        lambda: layers.Bidirectional(layers.LSTM(width, return_sequences=True), merge_mode="sum", name=name)(x),
    )()


def attention(x, other, width, option, name):
    keys = other if option % 2 else x
    # On TensorFlow Keras (3.15) adds a bias of shape (n, 1) along the wrong axis of a sequence of length n. So heads of
    # one dimension, as pruning makes them, compute something else there, and there is no bias here.
    bias = 2 not in (x.shape[1], keys.shape[1])
    layer = layers.MultiHeadAttention(2, width, value_dim=pick(option // 2, width, 2), use_bias=bias, name=name)
    return x + layer(x, keys)


def projected_attention(x, other, width, option, name):
    """Attention without weights of its own, and by hand."""
    query, key, value = (dense(x, width, name=f"{name}_{part}") for part in ("query", "key", "value"))
    scores = pick(
        option,
        lambda: layers.Attention(name=name)([query, value, key]),
        lambda: ops.matmul(ops.softmax(ops.matmul(query, ops.swapaxes(key, 1, 2))), value),
        lambda: ops.einsum("bqk,bkd->bqd", ops.softmax(ops.einsum("bqd,bkd->bqk", query, key)), value),
    )
    return scores()


def einsum_dense(x, other, width, option, name):
    """With a bias of one axis: see `attention`."""
    length = x.shape[1]
    wide = layers.EinsumDense("abc,cde->abde", (length, 2, width), bias_axes="e", name=name)(x)
    return layers.EinsumDense("abde,def->abf", (length, width), bias_axes="f", name=f"{name}_back")(wide)


def mixer(x, other, width, option, name):
    length = x.shape[1]
    y = dense(layers.Permute((2, 1))(x), width, "relu", f"{name}_tokens")
    return x + layers.Permute((2, 1))(dense(y, length, name=f"{name}_back"))


def layer_norm(x, other, width, option, name):
    return layers.LayerNormalization(name=name)(x)


# From one number of dimensions to another


def to_vector(x, other, width, option, name):
    inner = tuple(range(1, len(x.shape) - 1))
    choices = [lambda: layers.Flatten()(x), lambda: ops.mean(x, axis=inner), lambda: ops.max(x, axis=inner)]
    if len(x.shape) == 3:
        choices += [lambda: layers.GRU(width, name=name)(x), lambda: x[:, -1]]
    return pick(option, *choices)()


def to_sequence(x, other, width, option, name):
    if len(x.shape) == 4:
        return layers.Reshape((-1, x.shape[-1]))(x)
    return pick(
        option,
        lambda: layers.RepeatVector(3)(x),
        lambda: layers.Reshape((3, width))(dense(x, 3 * width, name=name)),
        lambda: layers.Permute((2, 1))(layers.Reshape((width, 3))(dense(x, 3 * width, name=name))),
        lambda: ops.stack([x, ops.tanh(x)], axis=1),
    )()


def to_image(x, other, width, option, name):
    if len(x.shape) == 3:
        return pick(option, lambda: ops.expand_dims(x, 2), lambda: ops.stack([x, x * 0.5], axis=1))()
    return layers.Reshape((2, 2, width))(dense(x, 4 * width, name=name))


def _named(*blocks):
    return {each.__name__: each for each in blocks}


BLOCKS = {
    2: EVERY | _named(to_sequence, to_image) | {"dense": lambda x, o, width, p, name: dense(x, width, "tanh", name)},
    3: EVERY
    | _named(convolution_1d, recurrent, wrapped, attention, projected_attention, einsum_dense, mixer, layer_norm)
    | _named(to_vector, to_image),
    4: EVERY | _named(convolution, separable, resize, to_vector, to_sequence),
}


def _tokens():
    inputs = keras.Input((4,), dtype="int32", name="tokens")
    return inputs, layers.Embedding(10, 4, name="embedding")(inputs)


def _image():
    inputs = keras.Input((4, 4, 2), name="image")
    return inputs, conv(inputs, 4, name="stem")


def _sequence():
    inputs = keras.Input((4, 3), name="sequence")
    return inputs, dense(inputs, 4, name="stem")


def _vector():
    inputs = keras.Input((5,), name="vector")
    return inputs, dense(inputs, 6, name="stem")


def _pair():
    first, second = keras.Input((5,), name="first"), keras.Input((3,), name="second")
    return [first, second], dense(first, 4, name="stem") + dense(second, 4, name="stem2")


# What a graph reads, and the first tensor with channels.
INPUTS = {"image": _image, "pair": _pair, "sequence": _sequence, "tokens": _tokens, "vector": _vector}
