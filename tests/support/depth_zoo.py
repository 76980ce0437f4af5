"""Models of which layers and branches can be removed, and the oracle that says whether they were removed rightly."""

import keras
import numpy as np
from keras import layers, ops
from support.channel_zoo import difference, outputs, randomise

import keras_prune as kp
from keras_prune.layers import LayerPlan
from keras_prune.masking.masked_weights import walk_layers


def only_plan(model, *names):
    return LayerPlan(kp.analyze_layers(model).fingerprint, names)


def names(candidates):
    return [candidate.name for candidate in candidates]


def silenced(model, paths):
    """A copy of the model in which the layers of these paths have zeros for weights."""
    copy = kp.strip_pruning(model)  # of a model without masks: a plain copy
    for path in paths:
        layer = copy
        for name in path.split("/"):
            layer = layer.get_layer(name)
        for weight in layer.weights:
            weight.assign(np.zeros(weight.shape))
    return copy


def feed(model, size=2, seed=1):
    """Random inputs, in the structure that the model takes."""
    rng = np.random.default_rng(seed)

    def draw(tensor):
        shape = (size, *(12 if length is None else length for length in tensor.shape[1:]))
        integer = "int" in str(tensor.dtype)
        return rng.integers(0, 10, shape) if integer else rng.normal(size=shape).astype("float32")

    return keras.tree.map_structure(draw, model.inputs[0] if isinstance(model, keras.Sequential) else model.input)


def values(model):
    return [np.array(ops.convert_to_numpy(weight.value)) for weight in model.weights]


def all_layers(model):
    return [layer for _, layer in walk_layers(model)]


def check(model, zeroed, tolerance=1e-6, **arguments):
    """The oracle: the model without branches computes what the original does when their last layers give zeros."""
    randomise(model)
    x = feed(model)
    before, dense = values(model), outputs(model, x)
    result = kp.prune_layers(model, **arguments)
    assert all(np.array_equal(old, new) for old, new in zip(before, values(model), strict=True))
    assert difference(outputs(model, x), dense) == 0
    small = outputs(result.model, x)
    assert difference(small, dense) > 1e-4, "the test is empty: removing changes nothing"
    assert difference(small, outputs(silenced(model, zeroed), x)) <= tolerance
    check_counts(model, result)
    return result


def check_counts(model, result):
    """Fewer layers, no new ones, nothing shared, and the numbers of the report are those of the models."""
    old, new = all_layers(model), all_layers(result.model)
    assert len(new) < len(old)
    assert {layer.name for layer in new} <= {layer.name for layer in old}
    assert not {id(layer) for layer in old} & {id(layer) for layer in new}
    assert not {id(weight) for weight in model.weights} & {id(weight) for weight in result.model.weights}
    report = result.report
    assert (report.parameters_before, report.parameters_after) == (model.count_params(), result.model.count_params())
    again = kp.analyze_layers(result.model)
    empty = kp.prune_layers(result.model, plan=LayerPlan(again.fingerprint, ())).report
    assert (empty.macs_before, empty.layers_before) == (report.macs_after, report.layers_after)


def residual():
    """Residual blocks of all sorts: `Add`, `+`, `-`, a projection, a strided shortcut, a sum of three."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    y = layers.Conv2D(6, 1, use_bias=False, name="a1")(x)
    y = layers.ReLU(name="a_relu")(layers.BatchNormalization(name="a_bn")(y))
    x = layers.Add(name="a")([x, layers.Conv2D(8, 3, padding="same", name="a2")(y)])
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="b1")(x)
    x = x + layers.Dropout(0.5, name="b_drop")(layers.Conv2D(8, 1, name="b2")(y))
    y = layers.Conv2D(12, 3, padding="same", strides=2, name="c1")(x)
    y = layers.BatchNormalization(name="c_bn")(layers.Conv2D(12, 3, padding="same", name="c2")(y))
    x = layers.Add(name="c")([layers.Conv2D(12, 1, strides=2, name="c_shortcut")(x), y])
    x = layers.Activation("relu", name="c_relu")(x)
    x = x - layers.Conv2D(12, 1, name="d1")(layers.BatchNormalization(name="d_bn")(x))
    y, z = layers.Conv2D(12, 1, name="e1")(x), layers.DepthwiseConv2D(3, padding="same", name="f1")(x)
    x = layers.Add(name="ef")([y, x, z])
    y = layers.Conv2D(12, 3, padding="same", strides=2, name="g1")(layers.ReLU(name="g_relu")(x))
    x = layers.Add(name="g")([layers.MaxPooling2D(1, strides=2, name="g_pool")(x), y])
    return keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D(name="pool")(x)))


def transformer():
    """Two blocks before normalisation, with a mask, and cross attention to a second input."""
    tokens, context = keras.Input((7,), dtype="int32", name="tokens"), keras.Input((5, 8), name="context")
    x = layers.Embedding(20, 8, mask_zero=True, name="embedding")(tokens)
    for index in range(2):
        y = layers.LayerNormalization(name=f"norm{index}")(x)
        y = layers.MultiHeadAttention(2, 4, name=f"attention{index}")(y, y, use_causal_mask=True)
        x = layers.Add(name=f"self{index}")([x, y])
        y = layers.LayerNormalization(name=f"cross_norm{index}")(x)
        y = layers.MultiHeadAttention(2, 4, name=f"cross_attention{index}")(y, layers.Dense(8)(context))
        x = layers.Add(name=f"cross{index}")([x, y])
        y = layers.Dense(16, activation="gelu", name=f"wide{index}")(layers.LayerNormalization()(x))
        x = layers.Add(name=f"mlp{index}")([x, layers.Dense(8, name=f"narrow{index}")(y)])
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model({"tokens": tokens, "context": context}, layers.Dense(2, name="out")(x))


def recurrent(skip=()):
    """A stack of recurrent layers over sequences of any length, two of them around a shortcut."""
    tokens = keras.Input((None,), dtype="int32")
    x = layers.Embedding(20, 6, mask_zero=True, name="embedding")(tokens)
    for name, kind in {"gru1": layers.GRU, "lstm": layers.LSTM}.items():
        x = x if name in skip else kind(6, return_sequences=True, name=name)(x)
    y = layers.Bidirectional(layers.GRU(6, return_sequences=True), merge_mode="sum", name="both")(x)
    x = layers.Add(name="sum")([x, layers.SimpleRNN(6, return_sequences=True, name="simple")(y)])
    x = layers.Conv1D(6, 3, name="shorter")(x)  # its output has other sizes, though they are unknown
    x = layers.TimeDistributed(layers.Dense(6), name="each")(x)
    return keras.Model(tokens, layers.Dense(2, name="out")(layers.GRU(6, name="last")(x)))


def block(name, width=8):
    inputs = keras.Input((width,))
    y = layers.Dense(6, activation="relu", name="one")(inputs)
    return keras.Model(inputs, layers.Add(name="sum")([inputs, layers.Dense(width, name="two")(y)]), name=name)


def nested():
    """Blocks that are models: in a Sequential, side by side, used twice, and added to what they read."""
    inputs = keras.Input((4,))
    x = layers.Dense(8, name="stem")(inputs)
    x = keras.Sequential([keras.Input((8,)), block("first"), block("second")], name="body")(x)
    twice = block("twice")
    x = twice(layers.Activation("tanh", name="tanh")(twice(x)))
    head = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="same"), layers.Dense(8, name="back")], name="mlp")
    x = layers.Add(name="outer")([x, head(x)])
    return keras.Model(inputs, {"classes": layers.Dense(2, name="out")(x), "features": layers.Dense(3, name="aux")(x)})


def chain(skip=(), head=True):
    """Layers one after the other, some with normalisation and activation; without those in `skip`."""
    parts = [
        [layers.Dense(8, name="first"), layers.ReLU(name="first_relu")],
        [layers.Dense(8, use_bias=False, name="a"), layers.BatchNormalization(name="a_bn"), layers.ReLU(name="a_relu")],
        [layers.Dense(8, activation="tanh", name="b")],
        [layers.Dense(8, name="c"), layers.LayerNormalization(name="c_norm"), layers.Dropout(0.5, name="c_drop")],
        [layers.Dense(8, name="d")],
        [layers.Dense(3, name="out")] if head else [],
    ]
    stay = [layer for part in parts if part and part[0].name not in skip for layer in part]
    return keras.Sequential([keras.Input((6,)), *stay])
