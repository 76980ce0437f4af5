"""Rules of structured pruning must not apply where channels cannot go: they stay, and the report says why."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import channel_stays
from support.channel_zoo import check, difference, outputs
from support.versions import needs_keras

import keras_prune as kp


def model_with(function, shape=(4, 5)):
    """`before`, which is read by the function and by `beside`."""
    inputs = keras.Input(shape)
    x = layers.Dense(8, activation="sigmoid", name="before")(inputs)
    y = layers.Dense(6, name="beside")(x)
    found = [ops.cast(each, "float32") for each in keras.tree.flatten(function(x))]
    found = [each if len(each.shape) == 2 else layers.Flatten()(each) for each in [*found, y]]
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Concatenate()(found)))


@keras.saving.register_keras_serializable("test_channel_stays")
class Cell(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, inputs, states):
        state = ops.matmul(inputs, self.kernel) + states[0]
        return state, [state]

    def get_config(self):
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable("test_channel_stays")
class Twice(layers.Layer):
    def call(self, inputs):
        return inputs * 2

    def compute_output_shape(self, shape):
        return shape


def weights(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def others(x):
    """As many entries as there are channels, none of which is one."""
    return ops.concatenate([ops.sum(x, axis=-1)] * 2, axis=-1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (layers.Masking(0.5), "which steps it masks"),
        (layers.Normalization(mean=weights(8), variance=np.ones(8)), "statistics belong to the data"),
        (layers.Dropout(0.1, noise_shape=(None, 1, 8)), "names the number of channels"),
        (layers.Softmax(), "sum is taken over the channels"),
        (layers.RNN(Cell(3)), "no rule for its cell, a Cell"),
        (layers.TimeDistributed(Twice()), "no rule for the Twice in it"),
        (lambda x: layers.TimeDistributed(layers.Dense(3))(layers.Permute((2, 1))(x)), "along the axis of time"),
        (lambda x: layers.MultiHeadAttention(2, 2)(x, x, attention_mask=x[..., :4] > 0.5), "uses it as a mask"),
        (lambda x: layers.Attention()([x, x], mask=[x[..., 0] > 0.5, x[..., 1] > 0.5]), "takes it by its number"),
        (lambda x: layers.Attention()([x, weights(1, 3, 8)]), "called in an unknown way"),
        (lambda x: layers.LSTM(8)(x, initial_state=[np.zeros((2, 8), "float32")] * 2), "initial state is a constant"),
        (layers.EinsumDense("abc,bd->adc", (4, 8), bias_axes="d"), "bias lies along another axis"),
        (lambda x: ops.softmax(x), "sum is taken over the channels"),
        (lambda x: ops.sparsemax(x), "sum is taken over the channels"),
        (lambda x: ops.prod(x, axis=-1), "depends on the others"),
        (lambda x: ops.argmax(x, axis=-1), "depends on the others"),
        (lambda x: ops.logsumexp(x, axis=-1), "depends on the others"),
        (lambda x: ops.cumsum(x, axis=-1), "depends on the others"),
        (lambda x: ops.sort(x, axis=-1), "depends on the others"),
        (lambda x: ops.top_k(x, 3), "depends on the others"),
        (lambda x: ops.triu(x), "depends on the others"),
        (lambda x: ops.rot90(x, axes=(1, 2)), "depends on the others"),
        (lambda x: ops.norm(x, ord=-1, axis=-1), "another norm"),
        (lambda x: ops.norm(x, axis=(1, 2)), "another norm"),
        (lambda x: ops.quantile(x, [0.2, 0.5], axis=1)[0], "several weights or quantiles"),
        (lambda x: ops.average(x, weights=weights(8), axis=-1), "several weights or quantiles"),
        (lambda x: ops.roll(x, (1, 1), axis=(1, 2)), "rolls several axes"),
        (lambda x: ops.pad(x, ((0, 0), (0, 0), (1, 1)), mode="reflect"), "in mode 'reflect'"),
        (lambda x: ops.repeat(x, [1, 2, 1, 1, 1, 1, 1, 1], axis=-1), "another number of times"),
        (lambda x: x[..., ::3], "at a distance"),
        (lambda x: x[..., 1:7:2], "at a distance"),
        (lambda x: ops.take(x, ops.cast(x[0, 0, :3] * 0, "int32"), axis=-1), "which channels it takes is computed"),
        (lambda x: ops.take_along_axis(x, np.array([[[1, 0]]]), axis=-1), "differs from place to place"),
        (lambda x: ops.unstack(x, axis=-1), "a tensor of each channel"),
        pytest.param(
            lambda x: ops.array_split(x, 3, axis=-1),
            "parts of different sizes",
            marks=needs_keras("3.13", "ops.array_split"),
        ),
        (lambda x: ops.matmul(x, ops.reshape(others(x), (-1, 8, 1))), "by entries that are none"),
        (lambda x: ops.einsum("bic,bc->bi", x, others(x)), "by entries that are none"),
        (lambda x: ops.tensordot(x, x[0], axes=[[2], [1]]), "each sample with all others"),
        (lambda x: ops.einsum("bic,bid->bcd", x, ops.tanh(x)), "two kinds of channels along one axis"),
        (lambda x: ops.einsum("bijj->bi", ops.reshape(x, (-1, 2, 4, 4))), "a diagonal of the channels"),
        (lambda x: ops.einsum("bic,bjc", x, x), "not of the form"),
        (lambda x: ops.conv(x, weights(2, 8, 3)), "kernel is no weight of a layer"),
        (lambda x: ops.rms_normalization(x, scale=x[0, 0]), "is computed from channels"),
        (lambda x: x * ops.expand_dims(others(x), 1), "must stay"),
        (lambda x: ops.where(ops.expand_dims(others(x), 1) > 3, x, 0.0), "must stay"),
        (lambda x: ops.concatenate([x, weights(1, 1, 8)], axis=1), "one row with entries that must stay"),
        (lambda x: ops.dot_product_attention(*[ops.expand_dims(x, 2)] * 3, bias=x[:, None, :, :4]), "mask or bias"),
        (lambda x: ops.fft((x, x)), "mixes all channels"),
        (lambda x: ops.cross(x[..., :3], x[..., 3:6]), "no rule for this class"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_channels_stay_with_the_reason(function, reason):
    model = model_with(function)
    analysis = kp.analyze_channels(model)
    before = next(group for group in analysis.groups if "before" in group.producers)
    assert any(reason in each for each in before.reasons), set(before.reasons)
    result = kp.prune_channels(model, 0.5)  # and it can be carried out
    assert not before.frozen or reason in result.report.frozen["before"]
    assert len(result.plan.removed["beside"]) == 3


def test_only_the_channel_that_is_taken_by_its_number_stays():
    result, _ = check(model_with(lambda x: x[..., 2]))
    assert len(result.plan.removed["before"]) == 4
    assert 2 not in result.plan.removed["before"]


def test_a_layer_that_is_used_in_a_way_that_is_not_known_keeps_its_weights():
    inputs = keras.Input((4, 5))
    x = layers.Dense(8, name="before")(inputs)
    twice = layers.RNN(layers.GRUCell(6), return_sequences=True, name="twice")
    begun = twice(x, initial_state=[np.zeros((2, 6), "float32")])
    for y in (twice(x) + begun, begun + twice(x)):
        model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(y)))
        result = kp.prune_channels(model, 0.5)
        assert not result.plan.removed
        assert "constant" in result.report.unknown["twice"]


def test_a_reshape_that_is_also_used_on_the_input_keeps_its_size():
    inputs = keras.Input((8,))
    reshape = layers.Reshape((2, 4), name="shared")
    x = layers.Dense(8, name="before")(inputs)
    for order in ((inputs, x), (x, inputs)):
        first, second = map(reshape, order)
        y = layers.Dense(6, name="after")(layers.Flatten()(layers.Concatenate()([first, second])))
        result, _ = check(keras.Model(inputs, layers.Dense(2, name="out")(y)))
        assert list(result.plan.removed) == ["after"]


def test_attention_keeps_its_scale_and_bits_where_nothing_goes():
    inputs = keras.Input((4, 5))
    x = layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    result = kp.prune_channels(model, ratios={"attention": 0.0})
    data = weights(2, 4, 5)
    assert difference(outputs(result.model, data), outputs(model, data)) == 0


FRONT = next(line.split() for reason, line in channel_stays.LAYERS.items() if "changes images" in reason)
ARGUMENTS = {
    "MaxNumBoundingBoxes": None,  # takes boxes
    "Pipeline": ([layers.Rescaling(0.5)],),
    "RandomCrop": (8, 8),
    "RandomPosterization": (4,),
    "RandomTranslation": (0.1, 0.1),
}


@pytest.mark.parametrize("name", [name for name in FRONT if ARGUMENTS.get(name, ()) is not None])
def test_layers_in_front_of_all_channels(name):
    kind = getattr(layers, name)
    needs = [(), (0.1,)]
    for arguments in [ARGUMENTS[name]] if name in ARGUMENTS else needs:
        try:
            layer = kind(*arguments)
            break
        except TypeError:
            continue
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="conv")(layer(inputs))
    result, _ = check(keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling2D()(x))))
    assert len(result.plan.removed["conv"]) == 4
