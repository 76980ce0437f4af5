"""What prune_channels does not know stays, with the reason, or is known by a rule of the user's."""

import keras
import pytest
from keras import layers, ops
from support.channel_zoo import check
from support.opaque import opaque

import keras_prune as kp


@keras.saving.register_keras_serializable("test_channels")
class Twice(layers.Layer):
    def call(self, inputs):
        return ops.flip(opaque(inputs), -1) * 2

    def compute_output_shape(self, shape):
        return shape


@keras.saving.register_keras_serializable("test_channels")
class Scale(layers.Layer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape):
        self.gamma = self.add_weight(shape=(self.size,), initializer="ones", name="gamma")

    def call(self, inputs):
        return ops.einsum("...c,c->...c", opaque(inputs), self.gamma)  # it is not seen what it mixes

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.size)

    def get_config(self):
        return super().get_config() | {"size": self.size}


def around(*middle):
    inputs = keras.Input((5,))
    x = layers.Dense(8, name="before")(inputs)
    y = layers.Dense(6, name="beside")(x)
    for layer in middle:
        x = layer(x)
    x = layers.Concatenate()([layers.Flatten()(x), y])
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(6, name="after")(x)))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Twice(), "no rule for this class"),
        (layers.Lambda(lambda x: opaque(x), output_shape=(8,)), "no rule for this class"),
        (layers.Softmax(), "sum is taken over the channels"),
        (layers.Activation("softmax"), "may mix channels"),
        (lambda x: ops.cumsum(x, axis=-1), "depends on the others"),
        (lambda x: x * ops.concatenate([ops.sum(x, -1, keepdims=True)] * 8, axis=-1), "must stay"),
    ],
)
def test_what_is_not_known_stays_with_the_reason(layer, reason):
    model = around(layer)
    result, _ = check(model)
    assert reason in result.report.frozen["before"]
    assert reason in str(result)
    assert set(result.plan.removed) == {"beside", "after"}


def test_weights_that_are_no_plain_variables_stay():
    model = around()
    model.get_layer("beside").enable_lora(2)
    result, _ = check(model)
    assert "LoRA" in result.report.unknown["beside"]
    assert set(result.plan.removed) == {"after"}


def test_channels_that_are_looked_up_stay():
    inputs = keras.Input((5,))
    x = ops.cast(layers.Dense(4, activation="relu", name="index")(inputs), "int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(1000, 6, name="table")(x))
    result = kp.prune_channels(keras.Model(inputs, layers.Dense(2)(x)), 0.5)
    assert set(result.plan.removed) == {"table"}


def test_strict_raises_and_names_the_operation():
    with pytest.raises(ValueError, match=r"Twice 'twice_here': no rule"):
        kp.prune_channels(around(Twice(name="twice_here")), 0.5, strict=True)
    kp.prune_channels(around(), 0.5, strict=True)


def test_a_rule_of_the_users():
    model = around(Scale(8, name="scale"))
    assert "before" in kp.prune_channels(model, 0.5).report.frozen

    @kp.register_rule(Scale)
    def scale(call):
        channels = call.vector(call.inputs[0])
        call.bind(call.operation.gamma, 0, channels, "through")
        call.resize("size", channels)
        return call.inputs[0]

    try:
        result, _ = check(around(Scale(8, name="scale")))
    finally:
        from keras_prune.tracing.rules import registry

        del registry._RULES[Scale]
    assert result.model.get_layer("scale").size == 4


def test_a_wrong_rule_is_found_out():
    @kp.register_rule(Scale)
    def forgets_the_weight(call):
        return call.inputs[0]

    try:
        with pytest.raises((RuntimeError, ValueError)):
            kp.prune_channels(around(Scale(8)), 0.5)
    finally:
        from keras_prune.tracing.rules import registry

        del registry._RULES[Scale]


def test_activation_that_is_not_known_stays():
    inputs = keras.Input((5,))
    x = layers.Dense(8, activation=lambda x: ops.cumsum(x, axis=-1), name="odd")(inputs)
    x = layers.Dense(8, activation="softmax", name="soft")(x)
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Dense(6, name="after")(x)))
    result, _ = check(model)
    assert list(result.plan.removed) == ["after"]
    assert "softmax" in result.report.frozen["soft"]
