"""A small model for every layer of Keras through which channels can be removed: see test_channel_rules.py."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.versions import call_if_there, require_keras


def image(*middle, size=8, name="image"):
    """Convolution, the layers, and a reader of every entry that is left."""
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(8, 3, padding="same", name="before")(inputs)
    return _finish(inputs, x, middle, name)


def sequence(*middle, length=12, name="sequence"):
    inputs = keras.Input((length, 5))
    x = layers.Dense(8, activation="tanh", name="before")(inputs)
    return _finish(inputs, x, middle, name)


def vector(*middle, name="vector"):
    inputs = keras.Input((5,))
    x = layers.Dense(8, activation="tanh", name="before")(inputs)
    return _finish(inputs, x, middle, name)


def volume(*middle, name="volume"):
    inputs = keras.Input((6, 6, 6, 2))
    x = layers.Conv3D(8, 2, padding="same", name="before")(inputs)
    return _finish(inputs, x, middle, name)


def _finish(inputs, x, middle, name):
    for layer in middle:
        x = call_if_there(layer, x, otherwise=x)
    x = x if len(x.shape) == 2 else layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(6, name="after")(x)), name=name)


def pairs(*merges):
    """Each layer joins two branches."""
    inputs = keras.Input((6, 5))
    x, y = layers.Dense(8, name="one")(inputs), layers.Dense(8, name="two")(inputs)
    joined = [merge([x, y]) for merge in merges]
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(layers.Concatenate()(joined))))


def head_and_dimensions():
    tokens = keras.Input((9,), dtype="int32")
    x = layers.Embedding(10, 8, name="embedding")(tokens)
    y = layers.MultiHeadAttention(4, 6, name="attention")(x, x, use_causal_mask=True)
    return keras.Model(tokens, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(layers.Add()([x, y]))))


def gated_attention():
    require_keras("3.14", "layers.MultiHeadAttention(use_gate)")
    inputs, other = keras.Input((7, 5)), keras.Input((7, 4))
    x, y = layers.Dense(8, name="query")(inputs), layers.Dense(10, name="key")(other)
    attention = layers.MultiHeadAttention(4, 6, use_gate=True, use_bias=False, dropout=0.1, name="attention")
    x, scores = attention(x, y, key=layers.Dense(6, name="keys")(y), return_attention_scores=True)
    scores = layers.Permute((2, 3, 1))(scores)
    x = layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(layers.Dense(4, name="mix")(scores))])
    return keras.Model([inputs, other], layers.Dense(2, name="out")(x))


def attention_over_images():
    inputs = keras.Input((4, 4, 5))
    x = layers.Dense(8, name="before")(inputs)
    x = layers.MultiHeadAttention(2, 4, value_dim=6, output_shape=(3, 6), attention_axes=(1, 2), name="attention")(x, x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def grouped_query_attention(queries=8, keys=4, gate=False):
    tokens = keras.Input((9,), dtype="int32")
    x = layers.Embedding(10, 8, name="embedding")(tokens)
    gated = {"use_gate": True} if gate else {}
    y = layers.GroupQueryAttention(4, queries, keys, **gated, name="attention")(x, x)
    return keras.Model(tokens, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(layers.Add()([x, y]))))


def grouped_query_attention_of_few_keys():
    require_keras("3.14", "layers.GroupQueryAttention(use_gate)")
    return grouped_query_attention(8, 2, gate=True)


def attention_without_kernels():
    inputs, other = keras.Input((7, 5)), keras.Input((6, 4))
    query, key, value = (
        layers.Dense(8, name="query")(inputs),
        layers.Dense(8, activation="sigmoid", name="key")(other),
        layers.Dense(10, name="value")(other),
    )
    x = layers.Attention(use_scale=True, name="dot")([query, value, key])
    y, scores = layers.AdditiveAttention(name="additive")([query, value, key], return_attention_scores=True)
    z = layers.Attention(score_mode="concat", name="concat")([query, key])
    x = layers.Concatenate()([x, y, z, layers.AdditiveAttention(use_scale=False)([z, key]), scores])
    return keras.Model([inputs, other], layers.Dense(2, name="out")(layers.Flatten()(x)))


def dots():
    inputs = keras.Input((7, 5))
    x, y = layers.Dense(8, name="one")(inputs), layers.Dense(8, name="two")(inputs)
    a = layers.Dot(axes=-1)([x, y])  # reads the channels
    b = layers.Dot(axes=(2, 1))([a, layers.Dense(6, activation="sigmoid", name="three")(inputs)])  # passes them
    c = layers.Dot(axes=1)([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(y)])
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Concatenate()([layers.Flatten()(b), c])))


def convolutional_lstms():
    inputs = keras.Input((3, 6, 6, 2))
    x, *state = layers.ConvLSTM2D(6, 3, padding="same", return_sequences=True, return_state=True, name="first")(inputs)
    x = layers.ConvLSTM2D(6, 3, padding="same", return_sequences=True, name="second")(x, initial_state=state)
    x = layers.TimeDistributed(layers.SeparableConv2D(5, 3), name="each")(x)
    y = layers.ConvLSTM1D(6, 2, strides=2, name="one")(x[:, :, 0])
    x = layers.ConvLSTM2D(4, 3, name="last")(x)
    x = layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(y)])
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def convolutional_lstm_of_volumes():
    inputs = keras.Input((2, 3, 3, 3, 2))
    x = layers.ConvLSTM3D(4, 2, dilation_rate=1, recurrent_dropout=0.1, name="three")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def models_in_time():
    """A model for each step, with another for each of its rows."""
    row = keras.Sequential([keras.Input((5, 8)), layers.Conv1D(6, 2, activation="relu", name="conv")], name="row")
    image = keras.Input((4, 5, 3))
    x = layers.Conv2D(8, 1, name="before")(image)
    x = layers.BatchNormalization(name="norm")(x + layers.Conv2D(8, 3, padding="same", name="beside")(x))
    x = layers.Flatten(name="flat")(layers.TimeDistributed(row, name="rows")(x))
    net = keras.Model(image, layers.Dense(7, activation="relu", name="end")(x), name="net")
    inputs = keras.Input((3, 4, 5, 3))
    x = layers.GRU(4, name="gru")(layers.TimeDistributed(net, name="steps")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def cells():
    inputs = keras.Input((7, 5))
    stack = layers.StackedRNNCells([layers.LSTMCell(6), layers.GRUCell(5, reset_after=False), layers.SimpleRNNCell(4)])
    x, *states = layers.RNN(stack, return_sequences=True, return_state=True, name="stack")(inputs)
    x = layers.RNN(layers.GRUCell(6), name="cell")(x)
    states = keras.tree.flatten(states)
    y = layers.Dense(6, name="begin")(layers.Concatenate()(states))
    z = layers.RNN([layers.SimpleRNNCell(6)], name="begun")(inputs, initial_state=[y])
    x = layers.Concatenate()([x, y, z])
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def cells_by_hand():
    """Cells that are called step by step, on states that other layers begin and read."""
    inputs = keras.Input((3, 5))
    h, c = layers.Dense(6, name="h")(inputs[:, 0]), layers.Dense(6, name="c")(inputs[:, 0])
    lstm, gru, simple = layers.LSTMCell(6), layers.GRUCell(5, reset_after=False), layers.SimpleRNNCell(4)
    g, s = layers.Dense(5, name="g")(inputs[:, 1]), layers.Dense(4, name="s")(inputs[:, 1])
    for step in range(3):
        x, [h, c] = lstm(inputs[:, step], [h, c])
        x, [g] = gru(x, [g])
        x, [s] = simple(x, [s])
    x = layers.Concatenate()([x, c, g])
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def both_directions():
    inputs = keras.Input((7, 5))
    x, *states = layers.Bidirectional(layers.LSTM(6, return_sequences=True, return_state=True), name="first")(inputs)
    forward, backward = layers.Bidirectional(layers.GRU(5, return_sequences=True), merge_mode=None, name="two")(x)
    y = layers.Bidirectional(layers.LSTM(6), merge_mode="ave", name="begun")(forward, initial_state=states)
    z = layers.Bidirectional(
        layers.SimpleRNN(4), backward_layer=layers.LSTM(4, go_backwards=True), merge_mode="concat", name="differ"
    )(backward)
    w = layers.Bidirectional(layers.RNN(layers.GRUCell(4)), merge_mode="mul", name="cells")(backward)
    x = layers.Concatenate()([y, z, w, layers.GlobalAveragePooling1D()(forward)])
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def spectral():
    inputs = keras.Input((6, 6, 3))
    x = layers.SpectralNormalization(layers.Conv2D(8, 3, activation="relu"), name="conv")(inputs)
    x = layers.SpectralNormalization(layers.Dense(6), name="dense")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def tied_table():
    require_keras("3.12", "layers.ReversibleEmbedding")
    tokens = keras.Input((9,), dtype="int32")
    table = layers.ReversibleEmbedding(10, 8, name="table")
    free = layers.ReversibleEmbedding(10, 6, tie_weights=False, name="free")
    x = layers.Dense(8, name="dense")(table(tokens)) + layers.Dense(8, name="beside")(free(tokens))
    y = free(layers.Dense(6, name="narrow")(x), reverse=True)
    return keras.Model(tokens, [table(x, reverse=True), y])


def before_channels():
    """Preprocessing of images in front."""
    inputs = keras.Input((12, 12, 3))
    x = layers.Rescaling([1.0, 2.0, 0.5], offset=0.5)(inputs)
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x)
    x = layers.CenterCrop(8, 8)(layers.Resizing(10, 10)(x))
    x = layers.RandomFlip()(layers.RandomRotation(0.1)(layers.RandomZoom(0.1)(layers.RandomTranslation(0.1, 0.1)(x))))
    x = layers.RandomContrast(0.1)(layers.RandomBrightness(0.1)(layers.RandomCrop(8, 8)(x)))
    x = layers.Conv2D(8, 3, name="conv")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def categories():
    """Preprocessing of numbers in front."""
    numbers = keras.Input((4,))
    x = layers.Discretization([-1.0, 0.0, 1.0], output_mode="one_hot")(numbers)
    if len(x.shape) == 2:
        pytest.skip("Keras 3.13 and earlier say that this layer returns as many numbers as it is given")
    y = layers.CategoryEncoding(10, "multi_hot")(layers.Discretization([-0.5, 0.5])(numbers))
    y = layers.Dense(6, name="encoded")(y)
    z = layers.Embedding(6, 4, name="buckets")(layers.Discretization([-0.5, 0.0, 0.5])(numbers))
    x = layers.Concatenate()([layers.Flatten()(x), y, layers.Flatten()(z)])
    return keras.Model(numbers, layers.Dense(2, name="out")(layers.Dense(6, name="dense")(x)))


def masked_sequence():
    inputs = keras.Input((7, 5))
    x = layers.LSTM(6, return_sequences=True, name="lstm")(layers.Masking(0.5)(inputs))
    x = layers.GlobalAveragePooling1D()(layers.Dropout(0.2, noise_shape=(None, 1, None))(x))
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def single_channel():
    """A gate, and a tensor of which nothing can go."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(1, 3, padding="same", name="one")(inputs)
    y = layers.Conv2D(6, 3, padding="same", name="six")(inputs)
    y = layers.Multiply()([y, x])
    x = ops.mean(ops.tile(x, (1, 1, 1, 2)), axis=-1, keepdims=True)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(layers.Concatenate()([x, y]))))


def einsum_denses():
    inputs = keras.Input((6, 5))
    x = layers.EinsumDense("abc,cde->abde", (6, 3, 8), bias_axes="de", name="split")(inputs)
    x = layers.EinsumDense("abde,def->abf", (6, 8), bias_axes="f", name="join")(x)
    x = layers.EinsumDense("abc,bc->abc", (6, 8), bias_axes="c", name="scale")(x)
    x = layers.EinsumDense("abc,bd->adc", (4, 8), name="positions")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def scaled():
    """Normalisations that do not mix the channels."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
    x = layers.GroupNormalization(8, name="each")(x)
    x = layers.LayerNormalization(axis=[1, 2], name="space")(x)
    x = layers.UnitNormalization(axis=1)(x)
    x = layers.BatchNormalization(synchronized=True, scale=False)(x)
    x = layers.Reshape((36, 8))(x)
    x = layers.Permute((2, 1))(layers.LayerNormalization(axis=1)(x))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def mixing():
    """Normalisations that do: inexact."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
    x = layers.LayerNormalization(axis=[1, 2, 3], name="all")(x)
    x = layers.UnitNormalization(axis=(2, 3))(layers.RMSNormalization()(x))
    x = layers.GroupNormalization(4, axis=3)(x)
    x = layers.GroupNormalization(1, name="one")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def images():
    """Everything that moves a window over an image."""
    return image(
        layers.Conv2D(8, 3, dilation_rate=2, padding="same", use_bias=False),
        layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, activation="relu"),
        layers.SpatialDropout2D(0.1),
        layers.Resizing(6, 6),
        layers.CenterCrop(4, 4),
        layers.Conv2DTranspose(6, 3, strides=2, padding="same", output_padding=1),
        layers.ZeroPadding2D(((1, 0), (0, 1))),
        layers.Cropping2D(1),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.AveragePooling2D(2),
        layers.MaxPooling2D(2),
        lambda x: layers.AdaptiveAveragePooling2D(3)(x),
        lambda x: layers.AdaptiveMaxPooling2D(2)(x),
        layers.SeparableConv2D(8, 2, padding="same"),
        layers.PReLU(shared_axes=[1, 2]),
        layers.GlobalMaxPooling2D(keepdims=True),
        layers.GlobalAveragePooling2D(),
    )


def sequences():
    return sequence(
        layers.Conv1D(8, 3, padding="causal", dilation_rate=2, groups=2),
        layers.DepthwiseConv1D(3, padding="same", depth_multiplier=2),
        layers.SpatialDropout1D(0.1),
        layers.Conv1DTranspose(6, 2, dilation_rate=2),
        layers.ZeroPadding1D(1),
        layers.Cropping1D(1),
        layers.UpSampling1D(2),
        layers.SeparableConv1D(8, 2, strides=2),
        layers.AveragePooling1D(2),
        layers.MaxPooling1D(2, padding="same"),
        lambda x: layers.AdaptiveAveragePooling1D(3)(x),
        lambda x: layers.AdaptiveMaxPooling1D(2)(x),
        layers.GlobalAveragePooling1D(),
        layers.RepeatVector(3),
        layers.GaussianNoise(0.1),
        layers.GaussianDropout(0.1),
        layers.AlphaDropout(0.1),
        layers.ActivityRegularization(0.1),
        layers.GlobalMaxPooling1D(),
    )


def volumes():
    return volume(
        layers.Conv3DTranspose(6, 2, name="up"),
        layers.SpatialDropout3D(0.1),
        layers.ZeroPadding3D(1),
        layers.Cropping3D(1),
        layers.UpSampling3D(2),
        layers.AveragePooling3D(2),
        layers.MaxPooling3D(2),
        lambda x: layers.AdaptiveAveragePooling3D(3)(x),
        lambda x: layers.AdaptiveMaxPooling3D(2)(x),
        layers.GlobalMaxPooling3D(keepdims=True),
        layers.GlobalAveragePooling3D(),
    )


def vectors():
    return vector(
        layers.Activation("gelu"),
        layers.ELU(),
        layers.LeakyReLU(),
        layers.PReLU(),
        layers.ReLU(6.0),
        layers.Rescaling(2.0, offset=0.5),
        layers.Identity(),
        layers.Dropout(0.1),
        layers.Reshape((2, 4)),
        layers.Permute((2, 1)),
        layers.Flatten(),
    )


def merges():
    names = "Add Average Maximum Minimum Multiply Subtract Concatenate"
    return pairs(*(getattr(layers, name)() for name in names.split()))


def softmax_over_positions():
    inputs = keras.Input((6, 5))
    x = layers.Softmax(axis=1)(layers.Dense(8, name="dense")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))


def constants():
    """Arrays among the tensors."""
    inputs = keras.Input((4, 5))
    x = layers.Dense(8, name="before")(inputs)
    x = x * np.linspace(0.5, 1.5, 4, dtype="float32")[:, None] + np.float32(2)
    x = ops.where(np.array([True, False, True, False])[:, None], x, ops.zeros_like(x))
    y = layers.Dense(6, name="beside")(inputs) + np.arange(6, dtype="float32")  # these stay
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(layers.Concatenate()([x, y]))))


# On every backend, and on TensorFlow only.
CORE = [head_and_dimensions, grouped_query_attention, both_directions, attention_without_kernels, models_in_time]
MORE = [
    gated_attention,
    attention_over_images,
    grouped_query_attention_of_few_keys,
    dots,
    convolutional_lstms,
    convolutional_lstm_of_volumes,
    cells,
    cells_by_hand,
    spectral,
    tied_table,
    before_channels,
    categories,
    masked_sequence,
    single_channel,
    einsum_denses,
    scaled,
    mixing,
    images,
    sequences,
    volumes,
    vectors,
    merges,
    softmax_over_positions,
    constants,
]
INEXACT = {"mixing"}
