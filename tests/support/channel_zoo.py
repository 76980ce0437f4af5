"""Models through which channels flow, and the oracle that says whether they were removed rightly."""

import keras
import numpy as np
from keras import layers, ops

import keras_prune as kp
from keras_prune import _keras
from keras_prune.graph.structure import Graph
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.labels import collapse


def randomise(model, seed=0):
    """Random biases, statistics and scales: with zeros and ones many mistakes would not show."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name = weight.path.rsplit("/", 1)[-1]
        if "seed" in name or not str(weight.dtype).startswith("float"):
            continue
        if "variance" in name or name in ("gamma", "scale"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif len(weight.shape) == 1 or "bias" in name or name in ("beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def batch(model, size=2, seed=1):
    rng = np.random.default_rng(seed)
    arrays = []
    for tensor in model.inputs:
        shape = (size, *(12 if length is None else length for length in tensor.shape[1:]))
        integer = "int" in str(tensor.dtype)
        arrays.append(rng.integers(0, 10, shape) if integer else rng.normal(size=shape).astype("float32"))
    return arrays if len(arrays) > 1 else arrays[0]


def outputs(model, x):
    # One compilation a model on JAX, not one for each operation.
    jax = keras.backend.backend() == "jax"
    found = keras.tree.flatten(model.predict_on_batch(x) if jax else model(x, training=False))
    return [ops.convert_to_numpy(value).astype("float64") for value in found]


def difference(ours, theirs):
    """The largest difference over all outputs, relative to the largest value of each."""
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in zip(ours, theirs, strict=True))


def zeroed(model, plan):
    """A copy of the model with zeros where the removed channels are read."""
    analysis = kp.analyze_channels(model)
    model = analysis.trace.model  # what it was written out as, perhaps
    kept = Kept(plan.keep(analysis))
    copy = kp.strip_pruning(model)  # of a model without masks: a plain copy
    twins = {id(old): new for old, new in zip(model.weights, copy.weights, strict=True)}
    for binding in analysis.trace.found.bindings.values():
        if not binding.mutes:
            continue
        twin = twins[id(binding.weight)]
        values = np.array(ops.convert_to_numpy(twin.value))
        np.moveaxis(values, binding.axis, 0)[~kept.mask(binding.labels)] = 0
        twin.assign(values)
    return masked(model, copy, analysis.trace, kept) if analysis.trace.found.readers else copy


def masked(model, copy, trace, kept):
    """The copy, with zeros in place of removed channels where operations read them without weights."""
    nodes = iter(Graph.of(model).nodes)

    def mask(tensor, labels):
        keep = kept.mask(collapse([labels])[0])
        return tensor if keep.all() else ops.where(keep, tensor, ops.zeros_like(tensor))

    def replace(copied):
        node, operation = next(nodes), copied.operation
        if id(node.operation) not in trace.found.readers:
            return operation
        labels = iter([trace.tensors[id(tensor)] for tensor in node.arguments.keras_tensors])
        tree = keras.tree.map_structure

        def call(*arguments, **named):
            arguments, named = tree(
                lambda leaf: mask(leaf, next(labels)) if isinstance(leaf, keras.KerasTensor) else leaf,
                (arguments, named),
            )
            return operation(*arguments, **named)

        return call

    return keras.Model(copy.inputs, _keras.run_graph(copy, copy.inputs, replace))


def check(model, ratio=0.5, prepare=randomise, **arguments):
    """The oracle: the small model computes what the original computes with zeros where removed channels are read."""
    result, error, change = compare(model, ratio=ratio, prepare=prepare, **arguments)
    assert change > 1e-4, "the test is empty: pruning changes nothing"
    assert result.model.count_params() < model.count_params()
    return result, error


def compare(model, tolerance=1e-5, prepare=randomise, **arguments):
    """The oracle, also where nothing may be pruned.

    Returns:
        What `prune_channels` returned; the error against the oracle, None where the report says that it is inexact;
        and by how much pruning changed the outputs.
    """
    prepare(model)
    x = batch(model)
    before = [np.array(ops.convert_to_numpy(weight.value)) for weight in model.weights]
    result = kp.prune_channels(model, **arguments)
    after = [ops.convert_to_numpy(weight.value) for weight in model.weights]
    assert all(np.array_equal(old, new, equal_nan=True) for old, new in zip(before, after, strict=True))
    dense, small = outputs(model, x), outputs(result.model, x)
    assert [a.shape for a in dense] == [b.shape for b in small]
    error = None
    if not result.report.inexact:
        error = difference(small, outputs(zeroed(model, result.plan), x))
        assert error <= tolerance, error
    return result, error, difference(small, dense)


def residual():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    for index in range(2):
        y = layers.Conv2D(6, 3, padding="same", use_bias=False, name=f"narrow{index}")(x)
        y = layers.BatchNormalization()(y)
        y = layers.ReLU()(y)
        y = layers.Conv2D(8, 3, padding="same", name=f"wide{index}")(y)
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, name="out")(x))


def concat():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(5, 3, name="first")(inputs)
    y = layers.Conv2D(7, 3, dilation_rate=1, name="second")(inputs)
    z = layers.Concatenate()([x, y, layers.Cropping2D(1)(inputs)])
    z = layers.BatchNormalization()(z)
    z = layers.Conv2D(12, 1, activation="relu", name="third")(z)
    z = layers.Add()([z, layers.Concatenate()([x, y])])
    z = layers.MaxPooling2D()(z)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(z)))


def shuffle():
    """Channel shuffle and split, as in ShuffleNet V2."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(12, 1, name="stem")(inputs)
    for index in range(2):
        left, right = ops.split(x, 2, axis=-1)
        right = layers.Conv2D(6, 3, padding="same", name=f"conv{index}")(right)
        x = layers.Concatenate()([left, ops.relu(right)])
        x = layers.Reshape((6, 6, 2, 6))(x)
        x = ops.transpose(x, (0, 1, 2, 4, 3))
        x = ops.reshape(x, (-1, 6, 6, 12))
    x = ops.mean(x, axis=(1, 2))
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def gate():
    """Squeeze and excitation."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="silu", name="conv")(inputs)
    s = layers.GlobalAveragePooling2D(keepdims=True)(x)
    s = layers.Conv2D(4, 1, activation="relu", name="squeeze")(s)
    s = layers.Conv2D(8, 1, activation="sigmoid", name="excite")(s)
    x = layers.Multiply()([x, s])
    g = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="spatial")(x)
    x = x * g
    x = ops.relu(x) * 2.0 + 1.0
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalMaxPooling2D()(x)))


def depthwise():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, strides=2, name="stem")(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(6, 1, name="pointwise")(x)
    x = layers.SeparableConv2D(10, 2, depth_multiplier=2, activation="relu", name="separable")(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.Flatten()(x)))


def groups():
    """Grouped convolutions, depthwise written as one among them."""
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(12, 3, name="stem")(inputs)
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(x)
    x = layers.Conv2D(16, 3, groups=8, padding="same", name="each")(x)
    x = layers.Conv2D(5, 1, name="last")(x)
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.Flatten()(x)))


def generator():
    """Dense, reshape, transposed convolutions."""
    inputs = keras.Input((5,))
    x = layers.Dense(3 * 3 * 8, activation="relu", name="dense")(inputs)
    x = layers.Reshape((3, 3, 8))(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, name="up1")(x)
    x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    x = layers.UpSampling2D()(layers.ZeroPadding2D(1)(x))
    return keras.Model(inputs, layers.Conv2DTranspose(2, 3, name="up2")(x))


def flat():
    inputs = keras.Input((12,))
    x = layers.Dense(12, activation="gelu", name="first")(inputs)
    x = layers.Reshape((3, 4))(x)
    x = layers.Permute((2, 1))(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(9, name="second")(x)))


def shared():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    first, second = layers.Dense(8, activation="tanh", name="first"), layers.Dense(7, name="second")
    x, y = second(first(a)), second(first(b))
    z = layers.Dense(5, name="after")(layers.Concatenate()([x, y]))
    return keras.Model([a, b], layers.Dense(2, name="out")(z))


def nested():
    inner_input = keras.Input((8,))
    y = layers.Dense(6, activation="relu", name="dense")(inner_input)
    inner = keras.Model(inner_input, layers.Dense(8, name="back")(y), name="inner")
    head = keras.Sequential([keras.Input((8,)), layers.Dense(5), layers.BatchNormalization()], name="head")
    inputs = keras.Input((4,))
    x = layers.Dense(8, name="stem")(inputs)
    x = layers.Add()([x, inner(x)])
    x = inner(ops.sin(x))
    return keras.Model(inputs, layers.Dense(2, name="out")(head(x)))


def nested_sizes_unknown():
    """A backbone of unknown image size in a model of known size, and a model that is passed a mask."""
    image = keras.Input((None, None, 3))
    y = layers.Conv2D(6, 3, padding="same", activation="relu", name="one")(image)
    backbone = keras.Model(image, layers.Conv2D(8, 3, name="two")(y), name="backbone")
    sequence = keras.Input((None, 6))
    encoder = keras.Model(sequence, layers.GRU(5, name="gru")(sequence), name="encoder")
    inputs, tokens = keras.Input((9, 9, 3)), keras.Input((7,), dtype="int32")
    x = layers.Flatten()(layers.MaxPooling2D(3)(backbone(inputs)))
    y = encoder(layers.Embedding(10, 6, mask_zero=True, name="embedding")(tokens))
    return keras.Model([inputs, tokens], layers.Dense(2, name="out")(layers.Concatenate()([x, y])))


def two_outputs():
    inputs = keras.Input((7, 3))
    x = layers.Conv1D(8, 3, name="conv")(inputs)
    y = layers.Conv1D(4, 1, name="features")(x)
    z = layers.Dense(2, name="classes")(layers.GlobalAveragePooling1D()(layers.AveragePooling1D(2)(x)))
    return keras.Model(inputs, {"features": y, "classes": z})


def recurrent():
    tokens = keras.Input((None,), dtype="int32")
    x = layers.Embedding(10, 8, mask_zero=True, name="embedding")(tokens)
    x, *state = layers.LSTM(6, return_sequences=True, return_state=True, name="lstm")(x)
    y = layers.LSTM(6, return_sequences=True, name="decoder")(x, initial_state=state)
    x = layers.GRU(5, return_sequences=True, name="gru")(layers.Add()([x, y]))
    x = layers.GRU(4, return_sequences=True, reset_after=False, name="gru_before")(x)
    x = layers.SimpleRNN(6, name="simple")(x)
    return keras.Model(tokens, layers.Dense(2, name="out")(x))


def wrapped():
    inputs = keras.Input((7, 5))
    x = layers.TimeDistributed(layers.Dense(8, activation="tanh"), name="each")(inputs)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True), name="both")(x)
    x = layers.TimeDistributed(layers.BatchNormalization(), name="norm")(x)
    x = layers.Bidirectional(layers.GRU(4), merge_mode="sum", name="sum")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def attention_of_other_values():
    return attention(key_dim=6)  # which Keras cannot run on JAX


def attention(key_dim=4):
    """An attention block without normalisation, which would make it inexact."""
    tokens = keras.Input((9,), dtype="int32")
    x = layers.Embedding(10, 8, name="embedding")(tokens)
    y = layers.MultiHeadAttention(4, key_dim, value_dim=4, name="attention")(x, x, use_causal_mask=True)
    x = layers.Add()([x, y])
    y = layers.EinsumDense("abc,cd->abd", (None, 12), bias_axes="d", activation="gelu", name="wide")(x)
    x = layers.Add()([x, layers.Dense(8, name="narrow")(y)])
    x = ops.stack([x[:, 0], x[:, 2:5][:, -1], ops.max(x, axis=1)], axis=1)
    return keras.Model(tokens, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


def mixer():
    inputs = keras.Input((6, 3))
    x = layers.Dense(8, name="embed")(inputs)
    y = layers.Permute((2, 1))(x)
    y = layers.Dense(10, activation="relu", name="tokens1")(y)
    y = layers.Dense(6, name="tokens2")(y)
    x = x + layers.Permute((2, 1))(y)
    x = x + layers.Dense(8, name="channels2")(layers.Dense(9, activation="gelu", name="channels1")(x))
    x = ops.expand_dims(x, 2)
    x = ops.squeeze(layers.Conv2D(7, 1, name="conv")(x), axis=2)
    x = ops.max(ops.swapaxes(x, 1, 2), axis=-1)
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def volumes():
    inputs = keras.Input((6, 6, 6, 2))
    x = layers.Conv3D(6, 2, strides=2, activation="relu", name="conv3d")(inputs)
    x = layers.Conv3DTranspose(5, 2, name="transpose3d")(x)
    x = layers.MaxPooling3D(2)(layers.ZeroPadding3D(1)(x))
    x = layers.Reshape((-1, 5))(x)
    x = layers.Conv1D(4, 2, dilation_rate=2, padding="causal", name="conv1d")(x)
    x = layers.SeparableConv1D(6, 2, name="separable1d")(x)
    x = layers.DepthwiseConv1D(2, name="depthwise1d")(x)
    x = layers.Conv1DTranspose(4, 2, name="transpose1d")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


def sizes_unknown():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv1")(inputs)
    s = ops.mean(x, axis=(1, 2), keepdims=True)
    x = x * layers.Dense(8, activation="sigmoid", name="gate")(s)
    x = layers.Conv2D(6, 3, padding="same", name="conv2")(x)
    x = layers.Reshape((-1, 6))(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(ops.sum(x, axis=1)))


# On every backend, and on TensorFlow only.
CORE = [residual, shuffle, groups, nested, recurrent, attention]
MORE = [
    concat,
    gate,
    depthwise,
    generator,
    flat,
    shared,
    nested_sizes_unknown,
    two_outputs,
    wrapped,
    attention_of_other_values,
    mixer,
    volumes,
    sizes_unknown,
]
EXACT = [*CORE, *MORE]
