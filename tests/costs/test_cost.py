"""`cost` against counts by hand."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import channel_zoo
from support.opaque import opaque
from support.reports import check_report
from support.zoo import nested

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.tracing.unknown_products import FREE_LAYERS

core = pytest.mark.core


def one(shape, layer, dtype="float32"):
    """A model of one layer, which may be called on its input more than once."""
    inputs = keras.Input(shape, dtype=dtype)
    return keras.Model(inputs, layer(inputs))


def twice(layer, **arguments):
    return lambda x: layer(x, x, **arguments)


def many(*cells):
    return layers.RNN(list(cells))


# The hand counts: input 8 x 8 with 3 channels, sequences of 7 steps with 5 entries. What is multiplied, for each place.
COUNTS = [
    (one, (5,), lambda: layers.Dense(4), 5 * 4),
    (one, (7, 5), lambda: layers.Dense(4), 7 * 5 * 4),
    (one, (7, 5), lambda: layers.EinsumDense("abc,cde->abde", (7, 2, 3)), 7 * 5 * 2 * 3),
    (one, (7, 5), lambda: layers.EinsumDense("...x,xy->...y", 4), 7 * 5 * 4),
    (one, (7, 5), lambda: layers.EinsumDense("abc,bd->adc", (4, 5)), 7 * 4 * 5),
    (one, (8, 3), lambda: layers.Conv1D(4, 3), 6 * 3 * 3 * 4),
    (one, (8, 3), lambda: layers.Conv1D(4, 3, padding="causal", dilation_rate=2), 8 * 3 * 3 * 4),
    (one, (8, 8, 3), lambda: layers.Conv2D(4, (3, 2), strides=2), 3 * 4 * (3 * 2 * 3 * 4)),
    (one, (8, 8, 4), lambda: layers.Conv2D(6, 3, groups=2, padding="same"), 64 * (9 * 2 * 6)),
    (one, (4, 4, 4, 2), lambda: layers.Conv3D(3, 2), 27 * (8 * 2 * 3)),
    (one, (8, 3), lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), 6 * 3 * 3 * 2),
    (one, (8, 8, 3), lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), 36 * 9 * 3 * 2),
    (one, (8, 3), lambda: layers.SeparableConv1D(5, 3), 6 * (3 * 3 + 3 * 5)),
    (one, (8, 8, 3), lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2), 36 * (9 * 6 + 6 * 5)),
    (one, (8, 3), lambda: layers.Conv1DTranspose(4, 3, strides=2), 8 * (3 * 3 * 4)),
    (one, (8, 8, 3), lambda: layers.Conv2DTranspose(4, 3, strides=2), 64 * (9 * 3 * 4)),
    (one, (4, 4, 4, 2), lambda: layers.Conv3DTranspose(3, 2), 64 * (8 * 2 * 3)),
    (one, (7, 5), lambda: layers.SimpleRNN(4), 7 * (5 * 4 + 4 * 4)),
    (one, (7, 5), lambda: layers.LSTM(4), 7 * 4 * (5 * 4 + 4 * 4)),
    (one, (7, 5), lambda: layers.GRU(4, return_sequences=True), 7 * 3 * (5 * 4 + 4 * 4)),
    (one, (7, 5), lambda: many(layers.LSTMCell(4), layers.GRUCell(6)), 7 * (4 * (5 + 4) * 4 + 3 * (4 + 6) * 6)),
    (one, (7, 5), lambda: layers.Bidirectional(layers.LSTM(4)), 2 * 7 * 4 * (5 * 4 + 4 * 4)),
    (one, (3, 6, 2), lambda: layers.ConvLSTM1D(4, 3), 3 * 4 * (3 * 4 * (2 + 4) * 4)),
    (one, (3, 6, 6, 2), lambda: layers.ConvLSTM2D(4, 3), 3 * 16 * (9 * 4 * (2 + 4) * 4)),
    (one, (3, 6, 6, 2), lambda: layers.ConvLSTM2D(4, 3, return_sequences=True), 3 * 16 * (9 * 4 * (2 + 4) * 4)),
    (one, (2, 3, 3, 3, 2), lambda: layers.ConvLSTM3D(4, 2), 2 * 8 * (8 * 4 * (2 + 4) * 4)),
    (one, (7, 8, 8, 3), lambda: layers.TimeDistributed(layers.Conv2D(4, 3)), 7 * 36 * (9 * 3 * 4)),
    (one, (8, 8, 3), lambda: layers.SpectralNormalization(layers.Conv2D(4, 3)), 36 * (9 * 3 * 4)),
    # Projections of query, key, value and output; scores and their sums.
    (one, (7, 5), lambda: twice(layers.MultiHeadAttention(2, 3)), 4 * 7 * 5 * 6 + 2 * 7 * 7 * 6),
    (
        one,
        (4, 6, 5),
        lambda: twice(layers.MultiHeadAttention(2, 3, attention_axes=2)),
        4 * 24 * 5 * 6 + 2 * 4 * 6 * 6 * 6,
    ),
    (
        one,
        (7, 5),
        lambda: twice(layers.GroupQueryAttention(3, 4, 2)),
        2 * 7 * 5 * 12 + 2 * 7 * 5 * 6 + 2 * 7 * 7 * 12,
    ),
    (one, (7, 5), lambda: lambda x: layers.Attention()([x, x]), 2 * 7 * 7 * 5),
    (one, (7, 5), lambda: lambda x: layers.AdditiveAttention()([x, x]), 2 * 7 * 7 * 5),
    (one, (7, 5), lambda: lambda x: layers.Dot(axes=2)([x, x]), 7 * 7 * 5),
    (one, (7, 5), lambda: lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))), 7 * 7 * 5),
    (one, (7, 5), lambda: lambda x: ops.matmul(x, np.ones(5, "float32")), 7 * 5),
    (one, (7, 5), lambda: lambda x: ops.dot(x, np.ones((5, 3), "float32")), 7 * 5 * 3),
    (one, (7, 5), lambda: lambda x: ops.tensordot(x, np.ones((7, 5, 3), "float32"), 2), 7 * 5 * 3),
    (one, (7, 5), lambda: lambda x: ops.einsum("bic,cd->bid", x, np.ones((5, 3), "float32")), 7 * 5 * 3),
    (one, (8, 8, 3), lambda: lambda x: ops.conv(x, np.ones((3, 3, 3, 4), "float32")), 36 * (9 * 3 * 4)),
    (one, (7, 2, 5), lambda: lambda x: ops.dot_product_attention(x, x, x), 2 * 7 * 7 * 2 * 5),
    (one, (9,), lambda: lambda x: layers.Embedding(10, 4)(x), 0),
    (one, (7, 5), lambda: lambda x: ops.softmax(layers.LayerNormalization()(ops.cumsum(x, 2))), 0),
    (one, (8, 8, 3), lambda: lambda x: layers.MaxPooling2D()(layers.BatchNormalization()(x)), 0),
]


@pytest.mark.parametrize(("build", "shape", "layer", "macs"), COUNTS)
def test_macs_as_counted_by_hand(build, shape, layer, macs):
    model = build(shape, layer())
    report = kp.cost(model)
    assert (report.macs, report.unknown) == (macs, {})
    assert report.known_macs == report.macs
    assert report.parameters == model.count_params() == sum(each.parameters for each in report.layers)


def test_channels_flow_through_an_equation_with_an_ellipsis():
    inputs = keras.Input((7, 5))
    x = layers.EinsumDense("...x,xy->...y", 8, bias_axes="y", activation="tanh", name="one")(inputs)
    x = layers.EinsumDense("...x,xy->...y", 6, name="two")(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    channel_zoo.check(model)


def test_every_layer_of_keras_is_counted_or_known_to_multiply_nothing_or_said_to_be_unknown():
    tried = {type(part) for *_, layer, _ in COUNTS for part in _flat(layer())}
    tried |= {layers.MultiHeadAttention, layers.GroupQueryAttention, layers.Attention, layers.AdditiveAttention}
    tried |= {layers.Dot, layers.StackedRNNCells, getattr(layers, "ReversibleEmbedding", None)}
    unknown = {"FlaxLayer", "JaxLayer", "Lambda", "MelSpectrogram", "Pipeline", "STFTSpectrogram", "TFSMLayer"}
    unknown |= {"ContrastLimitedAdaptiveHistogramEqualization", "TorchModuleWrapper", "Layer", "Wrapper", "InputLayer"}
    classes = {each for each in vars(layers).values() if isinstance(each, type) and issubclass(each, layers.Layer)}
    left = {each.__name__ for each in classes - tried - FREE_LAYERS}
    assert left <= unknown, "what do these multiply?"
    assert not FREE_LAYERS & tried


def _flat(layer):
    return layer._flatten_layers() if isinstance(layer, layers.Layer) else []


@core
def test_zeros_are_left_out_of_effective_macs():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.Flatten()])
    kernel = model.get_layer("conv").kernel
    values = np.ones(kernel.shape, "float32")
    values[0] = 0
    values[1, 1, 1, 1] = 0
    kernel.assign(values)
    report = kp.cost(model)
    assert (report.macs, report.effective_macs) == (36 * 108, 36 * (108 - 36 - 1))


@core
def test_masked_models_count_as_what_they_become():
    model = nested()
    plain, masked = kp.cost(model), kp.cost(kp.prune_weights(model, 0.5))
    assert masked.effective_macs < plain.effective_macs == plain.macs == masked.macs
    assert masked.parameters == plain.parameters == model.count_params()
    assert [each.name for each in masked.layers] == [each.name for each in plain.layers]


@keras.saving.register_keras_serializable("test_cost")
class TwoLayers(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(4), layers.Dense(2)

    def call(self, x):
        return self.second(self.first(x))


@core
def test_a_subclassed_model_with_masks_is_only_read():
    model = TwoLayers()
    model(np.zeros((1, 8), "float32"))
    pruned = kp.prune_weights(model, 0.5)
    report = kp.cost(pruned)
    assert (report.macs, report.effective_macs) == (40, 20)
    assert len(find_masked(pruned)) == 2


def test_paths_shapes_and_shared_layers():
    shared = layers.Dense(5, name="shared")
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(5, name="inside")], name="inner")
    inputs = keras.Input((5,))
    report = kp.cost(keras.Model(inputs, inner(shared(shared(inner(inputs))))))
    assert {each.name: (each.uses, each.macs, each.parameters) for each in report.layers} == {
        "inner/inside": (2, 50, 30),
        "shared": (2, 50, 30),
    }
    assert report.parameters == 60
    assert report.layers[0].output_shape == (None, 5)
    assert report.layers[0].activation_bytes == 2 * 5 * 4


@core
def test_peak_of_activations_is_that_of_tensors_that_live_at_a_time():
    inputs = keras.Input((10,))
    wide = layers.Dense(100)(inputs)  # 10 + 100
    narrow = layers.Dense(20)(wide)  # 10 + 100 + 20, since the input is read again at the end
    deep = layers.Dense(30)(narrow)  # 10 + 20 + 30
    out = layers.Concatenate()([deep, inputs])  # 30 + 10 + 40
    report = kp.cost(keras.Model(inputs, out))
    assert report.peak_activation_bytes == 4 * (10 + 100 + 20)
    assert report.activation_bytes == 4 * (100 + 20 + 30 + 40)
    early = keras.Model(inputs, [wide, out])  # an output lives to the end
    assert kp.cost(early).peak_activation_bytes == 4 * (100 + 30 + 10 + 40)


def test_peak_looks_into_models_inside_and_takes_their_types():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(50), layers.Dense(3)])
    inputs = keras.Input((4,))
    assert kp.cost(keras.Model(inputs, inner(inputs))).peak_activation_bytes == 4 * (50 + 4)  # then 50 + 3
    half = keras.Sequential([keras.Input((4,), dtype="float16"), layers.Dense(50, dtype="float16")])
    assert kp.cost(half).peak_activation_bytes == 2 * (4 + 50)
    assert kp.cost(half).weight_bytes == 4 * 50 * 2 + 50 * 2 if half.weights[0].dtype == "float16" else True


class Unknown(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(4)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(opaque(x))

    def compute_output_shape(self, shape):
        return (*shape[:-1], 4)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: Unknown(name="mine"), "no rule for this class"),
        (lambda: layers.Lambda(lambda x: opaque(x) * 2.0, output_shape=(7, 4), name="mine"), "no rule"),
        (lambda: layers.TimeDistributed(Unknown(), name="mine"), "no rule for the Unknown in it"),
    ],
)
def test_unknown_is_said_and_never_zero(layer, reason):
    inputs = keras.Input((7, 4))
    report = kp.cost(keras.Model(inputs, layers.Dense(3)(layer()(inputs))))
    mine = next(each for each in report.layers if each.name == "mine")
    assert (mine.macs, mine.effective_macs, report.macs) == (None, None, None)
    assert report.known_macs == sum(each.macs or 0 for each in report.layers)
    assert reason in report.unknown["mine"]
    assert report.unknown["mine"] in str(report)


class Matrix(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3))

    def call(self, x):
        return opaque(x) @ self.kernel

    def compute_output_shape(self, shape):
        return (*shape[:-1], 3)


def test_a_rule_of_ones_own_tells_the_products():
    model = one((7, 4), Matrix(name="mine"))
    assert kp.cost(model).macs is None

    @kp.register_rule(Matrix)
    def matrix(call):
        call.multiply(call.operation.kernel, call.input_shapes[0][1])
        return call.fixed()

    assert kp.cost(model).macs == 7 * 4 * 3


def test_unknown_sizes():
    inputs = keras.Input((None, 5))
    report = kp.cost(keras.Model(inputs, layers.LSTM(4)(inputs)))
    assert (report.macs, report.peak_activation_bytes) == (None, None)


def test_quantised_layers_are_unknown():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="dense")])
    model.quantize("int8")
    assert "quantised" in kp.cost(model).unknown["dense"]


def test_work_is_counted_once_where_a_model_inside_is_followed_twice():
    # A size that is known outside and not inside: the first way through the inner model is given up.
    inner_inputs = keras.Input((None, 4))
    inner = keras.Model(inner_inputs, layers.Dense(4, name="in")(inner_inputs), name="inner")
    inputs = keras.Input((6, 4))
    x = layers.Permute((2, 1))(layers.Dense(6, name="before")(layers.Permute((2, 1))(inputs)))
    model = keras.Model(inputs, inner(x))
    report = kp.cost(model)
    assert len([each for each in report.layers if each.name == "inner/in"]) == 1
    assert next(each for each in report.layers if each.name == "inner/in").uses == 1


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.one = layers.Dense(4, name="one")

    def call(self, x):
        return self.one(x)


@core
def test_subclassed_models_are_written_out():
    model = Subclassed()
    with pytest.raises(ValueError, match="unbuilt"):
        kp.cost(model)
    model(np.zeros((2, 3), "float32"))
    report = kp.cost(kp.wrap_pruning(model))
    assert (report.parameters, report.macs, report.peak_activation_bytes) == (16, 12, 28)
    assert [(each.name, each.parameters) for each in report.layers] == [("one", 16)]
    assert "'subclassed' (Subclassed) was written out as a graph" in str(report)


def test_subclassed_models_that_cannot_be_written_out_have_parameters_only():
    class Hidden(Subclassed):
        def call(self, x):
            return super().call(opaque(x))

    model = Hidden()
    model(np.zeros((2, 3), "float32"))
    report = kp.cost(model)
    assert (report.parameters, report.macs, report.peak_activation_bytes) == (16, None, None)
    assert [(each.name, each.parameters) for each in report.layers] == [("one", 16)]
    assert "no symbolic tensors" in str(report)
    assert check_report(report)[2] == {"Parameters": [16]}


def test_wrong_types():
    with pytest.raises(TypeError, match="Received: model=3"):
        kp.cost(3)


def test_the_model_is_only_read():
    model = channel_zoo.residual()
    before = [np.array(ops.convert_to_numpy(weight.value)) for weight in model.weights]
    layers_before = list(model.layers)
    kp.cost(model)
    assert model.layers == layers_before
    assert all(
        np.array_equal(old, ops.convert_to_numpy(new.value)) for old, new in zip(before, model.weights, strict=True)
    )


@core
def test_counts_equal_those_of_prune_channels_and_layers():
    model = channel_zoo.residual()
    macs = kp.cost(model).macs
    result = kp.prune_channels(model, 0.5)
    assert result.report.macs_before == macs
    assert result.report.macs_after == kp.cost(result.model).macs
    shorter = kp.prune_layers(model, ratio=0.5)
    assert shorter.report.macs_before == macs
    assert shorter.report.macs_after == kp.cost(shorter.model).macs


def test_reports():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(6, name="first"), layers.ReLU(), layers.Dense(2)])
    report = kp.cost(kp.prune_weights(model, 0.5))
    facts, records, bars = check_report(report, "Effective MACs", "Peak of activations", "first")
    assert (facts["macs"], facts["effective_macs"], facts["parameters"]) == (60, 30, 68)
    assert [each["macs"] for each in records] == [48, 0, 12]
    assert bars == {"MACs": [48, 12], "Effective MACs": [24, 6]}
    assert check_report(kp.cost(model))[2] == {"MACs": [48, 12]}
