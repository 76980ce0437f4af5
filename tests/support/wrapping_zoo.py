"""Models with every kind of layer that gets masks."""

import keras
from keras import layers
from support.zoo import Block


def sequences():
    """Every recurrent and attention layer, and Embedding with a mask."""
    tokens = keras.Input((9,), dtype="int32")
    x = layers.Embedding(10, 8, mask_zero=True, name="embedding")(tokens)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="bidirectional")(x)
    y = layers.MultiHeadAttention(2, 4, name="attention")(x, x, use_causal_mask=True)
    y = layers.GroupQueryAttention(4, 2, 1, name="grouped")(y, x)
    x = layers.add([x, y])
    x = layers.TimeDistributed(layers.Dense(6), name="distributed")(x)
    x, state = layers.GRU(5, return_sequences=True, return_state=True, name="gru")(x)
    x = layers.SimpleRNN(5, return_sequences=True, name="simple")(x, initial_state=state)
    x = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], name="stacked")(x)
    return keras.Model(tokens, layers.Dense(2, name="out")(x))


def images():
    """Every convolution of two dimensions, and what can lie between them."""
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(6, 3, padding="same", name="conv")(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.SeparableConv2D(5, 3, strides=2, name="separable")(x)
    x = keras.ops.relu(x) + 0.5
    x = layers.Conv2DTranspose(4, 4, strides=2, name="transpose")(x)
    x = layers.EinsumDense("abcd,de->abce", output_shape=(8, 8, 3), name="einsum")(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def volumes():
    inputs = keras.Input((4, 6, 6, 2))
    x = layers.Conv3D(3, 2, name="conv3d")(inputs)
    x = layers.Conv3DTranspose(2, 2, name="transpose3d")(x)
    y = layers.ConvLSTM2D(3, 2, name="convlstm")(x)
    y = layers.Reshape((-1, 3))(y)
    y = layers.Conv1D(4, 2, name="conv1d")(y)
    y = layers.SeparableConv1D(4, 2, name="separable1d")(y)
    y = layers.DepthwiseConv1D(2, name="depthwise1d")(y)
    y = layers.Conv1DTranspose(3, 2, name="transpose1d")(y)
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(y))


def blocks():
    inputs = keras.Input((5, 6))
    return keras.Model(inputs, layers.Dense(2, name="out")(Block(name="second")(Block(name="first")(inputs))))
