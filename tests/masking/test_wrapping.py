"""wrap_pruning and strip_pruning: same outputs to the bit, and an input model that stays as it was."""

import keras
import numpy as np
import pytest
from keras import layers
from support.wrapping_zoo import blocks, images, sequences, volumes
from support.zoo import batch, cnn, mlp, nested, predict, regression, subclassed, two_in_two_out, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core
EXPECTED = {
    mlp: ["hidden0:kernel", "hidden1:kernel", "output:kernel"],
    cnn: ["conv1:kernel", "dense:kernel"],
    two_in_two_out: ["shared:kernel", "first:kernel", "second:kernel"],
    nested: ["encoder/dense:kernel", "decoder/dense:kernel", "dense:kernel"],
    images: [
        "conv:kernel",
        "depthwise:kernel",
        "separable:depthwise_kernel",
        "separable:pointwise_kernel",
        "transpose:kernel",
        "einsum:kernel",
        "out:kernel",
    ],
    volumes: [
        "conv3d:kernel",
        "transpose3d:kernel",
        "convlstm:kernel",
        "convlstm:recurrent_kernel",
        "conv1d:kernel",
        "separable1d:depthwise_kernel",
        "separable1d:pointwise_kernel",
        "depthwise1d:kernel",
        "transpose1d:kernel",
    ],
    blocks: [
        f"{block}:{weight}/kernel"
        for block in ("first", "second")
        for weight in (
            "multi_head_attention/query",
            "multi_head_attention/key",
            "multi_head_attention/value",
            "multi_head_attention/attention_output",
            "dense",
        )
    ]
    + ["out:kernel"],
}
MODELS = [*EXPECTED, sequences]


def generic(name):
    """Without the counters that Keras adds to automatic names."""
    return "/".join(
        part.rstrip("0123456789").rstrip("_") if part[:3] in ("mul", "den") else part for part in name.split("/")
    )


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_wrapped_and_stripped_models_have_the_same_outputs_to_the_bit(build):
    model = build()
    x = batch(model)
    before = predict(model, x)
    weights = [w.copy() for w in model.get_weights()]
    wrapped = kp.wrap_pruning(model)
    assert find_masked(wrapped)
    assert type(wrapped).__name__ == type(model).__name__
    assert isinstance(wrapped, type(model))
    assert wrapped.name == model.name
    assert [layer.name for layer in wrapped.layers] == [layer.name for layer in model.layers]
    assert getattr(wrapped, "output_names", None) == getattr(model, "output_names", None)
    stripped = kp.strip_pruning(wrapped)
    assert type(stripped) is type(model)
    assert not find_masked(stripped)
    for other in (wrapped, stripped):
        for expected, found in zip(before, predict(other, x), strict=True):
            np.testing.assert_array_equal(found, expected)
    for old, new in zip(weights, stripped.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("build", EXPECTED)
def test_the_expected_weights_get_masks(build):
    found = [f"{weight.layer}:{generic(weight.name)}" for weight in find_masked(kp.wrap_pruning(build()))]
    assert sorted(found) == sorted(EXPECTED[build])


def test_recurrent_and_attention_weights_get_masks():
    weights = find_masked(kp.wrap_pruning(sequences()))
    count = {}
    for weight in weights:
        assert weight.name.endswith(("kernel", "embeddings"))
        count[weight.layer] = count.get(weight.layer, 0) + 1
    assert count == {
        "embedding": 1,
        "bidirectional": 4,
        "attention": 4,
        "grouped": 4,
        "distributed": 1,
        "gru": 2,
        "simple": 2,
        "stacked": 4,
        "out": 1,
    }


@pytest.mark.parametrize("build", [mlp, cnn, nested, blocks])
def test_the_input_model_and_its_optimizer_are_never_touched(build):
    model = build()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x, y = regression(model)
    model.fit(x, y, verbose=0)
    optimizer = model.optimizer
    state = [value(v) for v in [*model.weights, *optimizer.variables]]
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    wrapped = kp.wrap_pruning(model)
    assert not wrapped.compiled
    wrapped.compile(keras.optimizers.Adam(0.01), "mse")
    wrapped.fit(x, y, verbose=0, callbacks=[kp.PruningSchedule(kp.ConstantSparsity(0.5))])
    kp.strip_pruning(wrapped)
    kp.prune_weights(model, 0.7)
    assert model.optimizer is optimizer
    for expected, variable in zip(state, [*model.weights, *optimizer.variables], strict=True):
        np.testing.assert_array_equal(value(variable), expected)
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    model.fit(x, y, verbose=0)  # and it still trains


def test_strip_leaves_the_wrapped_model_as_it_was():
    wrapped = kp.prune_weights(cnn(), 0.5)
    x = batch(wrapped)
    before = predict(wrapped, x)
    kp.strip_pruning(wrapped)
    assert find_masked(wrapped)
    np.testing.assert_array_equal(predict(wrapped, x)[0], before[0])


@pytest.mark.filterwarnings("ignore:.*pruned weights had come back")
def test_strip_writes_the_zeros_even_if_weights_were_assigned_since():
    wrapped = kp.prune_weights(mlp(), 0.5)
    for weight in find_masked(wrapped):
        weight.weight.assign(np.ones(weight.weight.shape, "float32"))
    stripped = kp.strip_pruning(wrapped)
    assert kp.summary(stripped).prunable_sparsity == pytest.approx(0.5, abs=0.02)
    assert all((value(w.weight) == 1).all() for w in find_masked(wrapped))


def test_adapted_preprocessing_and_seeds_are_copied():
    normalise = layers.Normalization()
    normalise.adapt(np.random.default_rng(0).normal(5, 3, size=(100, 6)).astype("float32"))
    model = keras.Sequential([keras.Input((6,)), normalise, layers.GaussianNoise(0.1), layers.Dense(2)])
    x = batch(model)
    wrapped = kp.wrap_pruning(model)
    np.testing.assert_array_equal(predict(wrapped, x)[0], predict(model, x)[0])
    noisy, same = value(model(x, training=True)), value(wrapped(x, training=True))
    np.testing.assert_array_equal(noisy, same)


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_trainable_flags_are_copied():
    model = nested()
    model.layers[1].trainable = False
    wrapped = kp.wrap_pruning(model)
    assert [w.trainable for w in wrapped.weights if "mask" not in w.name] == [w.trainable for w in model.weights]
    stripped = kp.strip_pruning(wrapped)
    assert [w.trainable for w in stripped.weights] == [w.trainable for w in model.weights]


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_models_with_regularizers_and_custom_training_steps_keep_them():
    class Doubled(keras.Model):
        def compute_loss(self, *args, **kwargs):
            return 2 * super().compute_loss(*args, **kwargs)

    inputs = keras.Input((6,))
    model = Doubled(inputs, layers.Dense(2, kernel_regularizer="l2", name="out")(inputs))
    wrapped = kp.wrap_pruning(model)
    assert isinstance(wrapped, Doubled)
    assert float(sum(wrapped.losses)) == pytest.approx(float(sum(model.losses)))
    assert type(kp.strip_pruning(wrapped)) is Doubled


def test_errors_name_the_near_misses_and_change_nothing():
    model = mlp()
    with pytest.raises(ValueError, match=r"'hidden0'.*Received: 'hiden0'"):
        kp.wrap_pruning(model, layers=["output", "hiden0"])
    with pytest.raises(TypeError, match="Received: 3"):
        kp.wrap_pruning(model, layers=3)
    with pytest.raises(TypeError, match="Received: <Dense name=output"):
        kp.wrap_pruning(model, layers=[model.get_layer("output")])
    with pytest.raises(TypeError, match="Received: weights=3"):
        kp.register_prunable(layers.Dense, 3)
    with pytest.raises(TypeError, match="Received: model='model'"):
        kp.wrap_pruning("model")
    attached = subclassed()
    with pytest.raises(ValueError, match="'block1' or 'block0'"):
        kp.wrap_pruning(attached, layers="block")
    assert not isinstance(attached, kp.masking.PrunedModel)
    assert not find_masked(attached)


@pytest.mark.parametrize(
    "function", [kp.wrap_pruning, kp.strip_pruning, kp.summary, lambda m: kp.prune_weights(m, 0.5)]
)
def test_unbuilt_models_are_refused(function):
    with pytest.raises(ValueError, match=r"Received: .*'fresh'"):
        function(keras.Sequential([layers.Dense(3)], name="fresh"))


def test_a_layer_that_cannot_be_copied_is_named():
    class Handle(dict):
        def __copy__(self):
            raise TypeError("there is one of it")

    class Odd(layers.Layer):
        def __init__(self, value):
            super().__init__(name="odd")
            vars(self)["value"] = value  # Keras would make it a dict of its own

        def call(self, x):
            return x

    inputs = keras.Input((3,))
    model = keras.Model(inputs, Odd(Handle())(inputs))
    with pytest.raises(ValueError, match=r"Cannot copy layer 'odd'.*get_config"):
        kp.wrap_pruning(model)


@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_functions_of_the_users_are_kept_as_they_are():
    factor = 2.0

    def scaled(x):
        return x * factor

    inputs = keras.Input((6,))
    x = layers.Dense(4, activation=scaled)(inputs)
    x = layers.Lambda(lambda x: x + factor)(x)
    x = layers.LSTM(3, activation=lambda x: keras.ops.tanh(x) / factor)(keras.ops.expand_dims(x, -1))
    model = keras.Model(inputs, x)
    x = batch(model)
    wrapped = kp.wrap_pruning(model)
    np.testing.assert_array_equal(predict(wrapped, x)[0], predict(model, x)[0])
    np.testing.assert_array_equal(predict(kp.strip_pruning(wrapped), x)[0], predict(model, x)[0])
