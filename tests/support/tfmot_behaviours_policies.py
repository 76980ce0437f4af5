"""Which models `PruneForLatencyOnXNNPack` takes, and what it prunes in them. See tfmot_sides.py."""

from support.tfmot_sides import behaviour


def chain(side, start, *layers):
    """A functional model of these layers, one after the other."""
    x = start
    for layer in layers:
        x = layer(x)
    return side.keras.Model(start, x)


def stem(side, padding="valid"):
    before = [side.layers.ZeroPadding2D(1)] if padding == "valid" else []
    return [*before, side.layers.Conv2D(16, 3, strides=2, padding=padding)]


def pruned(side, model):
    return side.count(side.prune(model, pruning_policy=side.sparsity.PruneForLatencyOnXNNPack()))


def refuses(side, *layers):
    return side.refuses(pruned, side, chain(side, side.keras.Input((8, 8, 3)), *layers))


@behaviour([True, True, True])
def xnnpack_needs_a_start_and_an_end_and_known_layers(side):
    layers = side.layers
    return [
        refuses(side, *stem(side, "same"), layers.Conv2D(16, 1), layers.GlobalAveragePooling2D()),
        refuses(side, *stem(side), layers.Conv2D(16, 1), layers.AveragePooling2D(2)),
        refuses(side, *stem(side), layers.Conv2D(16, 1), layers.MaxPooling2D(2, 2), layers.GlobalAveragePooling2D()),
    ]


@behaviour([True, 1])
def xnnpack_needs_a_built_model(side):
    def model(*begin):
        middle = [side.layers.DepthwiseConv2D(3, padding="same"), side.layers.Conv2D(8, 1)]
        return side.keras.Sequential([*begin, *stem(side), *middle, side.layers.GlobalAveragePooling2D()])

    return [side.refuses(pruned, side, model()), pruned(side, model(side.keras.Input((8, 8, 3))))]


@behaviour(2)
def xnnpack_enters_models_inside(side):
    inner = side.keras.Sequential([side.layers.Conv2D(8, 1), side.layers.Conv2D(16, 1)])
    whole = [side.keras.Input((8, 8, 3)), *stem(side), inner, side.layers.GlobalAveragePooling2D()]
    return pruned(side, side.keras.Sequential(whole))


@behaviour(1)
def xnnpack_prunes_a_layer_used_twice_once(side):
    layer = side.layers.Conv2D(16, 1)
    twice = chain(side, side.keras.Input((8, 8, 3)), *stem(side), layer, layer, side.layers.GlobalAveragePooling2D())
    return pruned(side, twice)


@behaviour(0)
def xnnpack_takes_a_model_with_nothing_to_prune(side):
    rest = [side.layers.DepthwiseConv2D(3, padding="same"), side.layers.Activation("relu")]
    whole = chain(side, side.keras.Input((8, 8, 3)), *stem(side), *rest, side.layers.GlobalAveragePooling2D())
    return pruned(side, whole)


@behaviour(6)
def xnnpack_follows_branches_inputs_and_outputs(side):
    layers = side.layers

    def begin(inputs, filters):
        return layers.Conv2D(filters, 3, strides=2)(layers.ZeroPadding2D(1)(inputs))

    one, two = side.keras.Input((16, 16, 3)), side.keras.Input((16, 16, 3))
    x = begin(one, 16)
    x = layers.Add()([layers.DepthwiseConv2D(3, padding="same")(x), layers.Conv2D(16, 1)(x)])
    y = layers.DepthwiseConv2D(3, strides=2)(layers.ZeroPadding2D(1)(begin(two, 8)))
    gate = layers.Activation("sigmoid")(layers.Conv2D(32, 1)(layers.GlobalAveragePooling2D(keepdims=True)(y)))
    wide = layers.UpSampling2D(interpolation="bilinear")(layers.Conv2D(32, 1)(y))
    y = layers.Conv2D(16, 1)(layers.Multiply()([gate, wide]))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Add()([x, y]))
    outputs = [layers.Conv2D(7, 1)(x), layers.Conv2D(3, 1)(x)]
    return pruned(side, side.keras.Model([one, two], outputs))


@behaviour([1, 1, 1])
def xnnpack_takes_copies_and_pruned_models(side):
    rest = side.layers.Conv2D(16, 1), side.layers.GlobalAveragePooling2D()
    model = chain(side, side.keras.Input((8, 8, 3)), *stem(side), *rest)
    once = side.prune(model, pruning_policy=side.sparsity.PruneForLatencyOnXNNPack())
    copy = side.keras.models.clone_model(model, clone_function=lambda layer: layer)
    return [side.count(once), pruned(side, copy), pruned(side, once)]


@behaviour(1)
def xnnpack_takes_arithmetic(side):
    inputs = side.keras.Input((8, 8, 3))
    x = inputs
    for layer in stem(side):
        x = layer(x)
    residual = side.layers.Conv2D(16, 1)(x)
    x = ((x + residual) - residual) * residual
    return pruned(side, side.keras.Model(inputs, side.layers.GlobalAveragePooling2D()(x)))
