"""`keras_prune.tfmot`: which layers are wrapped, and how; blocks, m by n, policies."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers
from support.tfmot_runs import fit, zeros

import keras_prune as kp
import keras_prune.tfmot as sparsity
from keras_prune.masking.masked_weights import find_masked


@pytest.fixture
def model():
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(6, activation="relu", name="first"), layers.Dense(2, name="second")]
    )


@pytest.fixture
def data(rng):
    return rng.normal(size=(64, 8)).astype("float32"), rng.normal(size=(64, 2)).astype("float32")


# What is wrapped, and how.


def test_arguments_are_tfmots():
    arguments = list(inspect.signature(sparsity.prune_low_magnitude).parameters)
    assert arguments == [
        "to_prune",
        "pruning_schedule",
        "block_size",
        "block_pooling_type",
        "pruning_policy",
        "sparsity_m_by_n",
        "kwargs",
    ]


def test_models_with_unprunable_and_nested_layers(rng):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="deep")], name="inner")
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    model = keras.Model(inputs, inner(x) + 1.0)
    pruned = sparsity.prune_low_magnitude(model)
    assert [weight.path for weight in find_masked(pruned)] == ["conv/kernel", "inner/deep/kernel"]
    x = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(pruned.predict(x, verbose=0), model.predict(x, verbose=0))


def test_layers_and_lists_of_layers(model):
    built = sparsity.prune_low_magnitude(model.layers[0])
    np.testing.assert_array_equal(built.layer.get_weights()[0], model.layers[0].get_weights()[0])
    assert built.layer is not model.layers[0]
    several = sparsity.prune_low_magnitude([layers.Dense(3), built, layers.Dense(2)])
    assert [type(each) for each in several] == [sparsity.PruneLowMagnitude] * 3
    assert several[1] is built
    assert isinstance(sparsity.prune_low_magnitude(layers.Dense(3), name="mine"), sparsity.PruneLowMagnitude)
    assert sparsity.prune_low_magnitude(layers.Dense(3), name="mine").name == "mine"


def test_clone_function_keeps_the_weights(model, data):
    clone = keras.models.clone_model(
        model, clone_function=lambda layer: sparsity.prune_low_magnitude(layer) if layer.name == "first" else layer
    )
    np.testing.assert_array_equal(clone.predict(data[0], verbose=0), model.predict(data[0], verbose=0))
    fit(clone, data, steps=4)
    assert zeros(clone) == {"first/kernel": 0.5}


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_first_layers_hand_on_their_input_shape():
    model = keras.Sequential([sparsity.prune_low_magnitude(layers.Dense(3, input_shape=(5,)))])
    assert model.built
    assert model.output_shape == (None, 3)


class OwnDense(layers.Dense, sparsity.PrunableLayer):
    def get_prunable_weights(self):
        return [self.kernel, self.bias]


def test_layers_of_ones_own_name_their_weights(data):
    model = keras.Sequential([keras.Input((8,)), sparsity.prune_low_magnitude(OwnDense(2, bias_initializer="ones"))])
    fit(model, data, steps=4)
    assert {path.split("/")[1]: part for path, part in zeros(model).items()} == {"kernel": 0.5, "bias": 0.5}
    with pytest.raises(NotImplementedError, match="get_prunable_weights"):
        sparsity.PrunableLayer().get_prunable_weights()


def test_layers_that_are_wrapped_keep_their_settings(model):
    quarter = sparsity.ConstantSparsity(0.25, 0)
    mixed = keras.Sequential(
        [keras.Input((8,)), sparsity.prune_low_magnitude(layers.Dense(4), quarter, block_size=(2, 2)), layers.Dense(2)]
    )
    pruned = sparsity.prune_low_magnitude(mixed, sparsity.ConstantSparsity(0.75, 0))
    assert [layer.pruning_schedule.target_sparsity for layer in pruned.layers] == [0.25, 0.75]
    again = kp.wrap_pruning(pruned)
    assert again.layers[0].pruning_schedule is quarter
    assert again.layers[0].block_size == (2, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pruning_schedule": 0.5}, "must be a schedule"),
        ({"pruning_schedule": kp.ConstantSparsity(0.5)}, "must be a schedule"),
        ({"block_pooling_type": "MIN"}, "'AVG', 'MAX'.*block_pooling_type='MIN'"),
        ({"block_size": (1, 0)}, "of at least 1"),
        ({"sparsity_m_by_n": (4, 4)}, "m < n"),
        ({"sparsity_m_by_n": (2, 4), "block_size": (2, 2)}, "cannot be combined"),
        ({"sparsity_m_by_n": (2, 4), "pruning_schedule": sparsity.ConstantSparsity(0.3, 0)}, "never reaches"),
        ({"sparsity_m_by_n": (2, 16)}, "does not fit"),
    ],
)
def test_impossible_settings_are_refused(model, settings, message):
    with pytest.raises(ValueError, match=message):
        sparsity.prune_low_magnitude(model, **settings)


def test_what_cannot_be_pruned_is_refused(model):
    class Own(keras.Model):
        pass

    for wrong in (3, "model", [3], Own()):
        with pytest.raises(ValueError, match="Received"):
            sparsity.prune_low_magnitude(wrong)
    with pytest.raises(ValueError, match="of a built Sequential"):
        sparsity.prune_low_magnitude(
            keras.Sequential([layers.Dense(2)]), pruning_policy=sparsity.PruneForLatencyOnXNNPack()
        )
    with pytest.raises(ValueError, match=r"takes a `keras.Model`"):
        sparsity.strip_pruning(model.layers[0])


def unbuilt():
    inner = keras.Sequential([layers.Dense(8), layers.Dropout(0.1)])
    return keras.Sequential([layers.Flatten(), inner, layers.BatchNormalization(), layers.Dense(4)])


@pytest.mark.core
def test_unbuilt_models_are_wrapped_now_and_built_later(data, tmp_path):
    model = unbuilt()
    pruned = sparsity.prune_low_magnitude(model)
    assert not model.built
    assert not pruned.built
    fit(pruned, (data[0], np.zeros((64, 4), "float32")), steps=4)
    assert sorted(zeros(pruned).values()) == [0.5, 0.5]
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert zeros(loaded) == zeros(pruned)
    plain = sparsity.strip_pruning(loaded)
    assert not any(isinstance(layer, sparsity.PruneLowMagnitude) for layer in [*plain.layers, *plain.layers[1].layers])
    np.testing.assert_array_equal(plain.predict(data[0], verbose=0), pruned.predict(data[0], verbose=0))


def test_unbuilt_models_follow_policies_and_keep_what_is_frozen(data):
    class OnlyLast(sparsity.PruningPolicy):
        def allow_pruning(self, layer):
            return getattr(layer, "units", 0) == 4

        def ensure_model_supports_pruning(self, model):
            pass

    model = unbuilt()
    model.trainable = False
    pruned = sparsity.prune_low_magnitude(model, pruning_policy=OnlyLast())
    assert not pruned.trainable
    pruned.trainable = True
    fit(pruned, (data[0], np.zeros((64, 4), "float32")), steps=4)
    assert list(zeros(pruned).values()) == [0.5]
    twice = sparsity.prune_low_magnitude(sparsity.prune_low_magnitude(unbuilt()))
    plain = sparsity.strip_pruning(twice)
    assert not plain.built
    assert type(plain) is keras.Sequential
    assert [layer.name for layer in plain.layers] == [layer.name for layer in twice.layers]


def test_a_loop_of_ones_own_builds_the_model(data):
    pruned = sparsity.prune_low_magnitude(unbuilt(), sparsity.ConstantSparsity(0.5, 0, frequency=1))
    pruned.optimizer = keras.optimizers.SGD(0.01)
    callback = sparsity.UpdatePruningStep()
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="needs a model with weights"):
            callback.set_model(pruned)
        return
    callback.set_model(pruned)
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_train_batch_begin(batch=-1)
        pruned(data[0], training=True)
        gradients = [keras.ops.ones(variable.shape) for variable in pruned.trainable_variables]
        pruned.optimizer.apply(gradients, pruned.trainable_variables)
        callback.on_epoch_end(batch=epoch)
    assert sorted(zeros(pruned).values()) == [0.5, 0.5]


def test_wrappers_name_the_weights_that_are_pruned(model):
    wrapped = sparsity.prune_low_magnitude(layers.LSTM(3))
    assert wrapped.get_prunable_weights() == []
    wrapped.build((None, 4, 2))
    assert [weight.name for weight in wrapped.get_prunable_weights()] == ["kernel", "recurrent_kernel"]
    first = sparsity.prune_low_magnitude(model).layers[0]
    assert first.get_prunable_weights()[0] is first.layer.kernel


# Blocks and m by n, against loops.


def pruned_kernel(data, **settings):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="first"), layers.Dense(2)])
    wrapped = keras.Sequential([keras.Input((8,)), sparsity.prune_low_magnitude(model.layers[0], **settings)])
    wrapped.compile(keras.optimizers.SGD(0.0), keras.losses.MeanSquaredError())
    before = np.abs(model.layers[0].get_weights()[0])
    x = data[0]
    wrapped.fit(x, x, epochs=1, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    (weight,) = find_masked(wrapped)
    return before, weight.kept()


@pytest.mark.core
@pytest.mark.parametrize(("pooling", "pool"), [("AVG", np.mean), ("MAX", np.max)])
def test_blocks_have_tfmots_height_and_width(data, pooling, pool):
    before, kept = pruned_kernel(data, block_size=(2, 4), block_pooling_type=pooling)
    score = {(i, j): pool(before[i : i + 2, j : j + 4]) for i in range(0, 8, 2) for j in range(0, 8, 4)}
    best = sorted(score, key=score.get)[-4:]
    expected = np.zeros((8, 8), bool)
    for i, j in best:
        expected[i : i + 2, j : j + 4] = True
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.core
@pytest.mark.parametrize(("m", "n"), [(2, 4), (1, 4), (3, 4)])
def test_m_by_n_counts_the_zeros(data, m, n):
    schedule = sparsity.ConstantSparsity(0.75, 0)  # no further than the pattern goes
    before, kept = pruned_kernel(data, sparsity_m_by_n=(m, n), pruning_schedule=schedule)
    for column in range(8):
        for start in range(0, 8, n):
            group = before[start : start + n, column]
            np.testing.assert_array_equal(kept[start : start + n, column], group >= np.sort(group)[m])


# Policies.


def mobile(padded=True, depthwise_strides=1, last=None, middle=None):
    stack = [keras.Input((32, 32, 3))]
    stack += [layers.ZeroPadding2D(1)] if padded else []
    stack += [layers.Conv2D(8, 3, strides=2), layers.BatchNormalization(), layers.ReLU()]
    if depthwise_strides == 2:
        stack += [layers.ZeroPadding2D(1), layers.DepthwiseConv2D(3, strides=2)]
    else:
        stack += [layers.DepthwiseConv2D(3, padding="same")]
    stack += [layers.Conv2D(16, 1, name="point"), layers.Activation("sigmoid")]
    stack += [] if middle is None else [middle]
    stack += [layers.GlobalAveragePooling2D() if last is None else last, layers.Dense(2)]
    return keras.Sequential(stack)


@pytest.mark.parametrize("depthwise_strides", [1, 2])
def test_the_xnnpack_policy_prunes_pointwise_convolutions(depthwise_strides):
    pruned = sparsity.prune_low_magnitude(
        mobile(depthwise_strides=depthwise_strides), pruning_policy=sparsity.PruneForLatencyOnXNNPack()
    )
    assert [weight.path for weight in find_masked(pruned)] == ["point/kernel"]


def test_the_xnnpack_policy_follows_branches():
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2)(layers.ZeroPadding2D(1)(inputs))
    x = layers.Add()([layers.Conv2D(8, 1, name="point")(x), x]) * x
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    sparsity.PruneForLatencyOnXNNPack().ensure_model_supports_pruning(model)
    side = layers.Dense(2)(layers.Flatten()(x))
    with pytest.raises(ValueError, match="GlobalAveragePooling2D"):
        sparsity.PruneForLatencyOnXNNPack().ensure_model_supports_pruning(keras.Model(inputs, [model.output, side]))


def test_the_xnnpack_policy_enters_models_inside():
    policy = sparsity.PruneForLatencyOnXNNPack()

    def pruned(*middle):
        stem = keras.Sequential([keras.Input((32, 32, 3)), layers.ZeroPadding2D(1), layers.Conv2D(8, 3, strides=2)])
        x = inputs = keras.Input((32, 32, 3))
        for layer in (stem, *middle):
            x = layer(x)
        return sparsity.prune_low_magnitude(keras.Model(inputs, x), pruning_policy=policy)

    def block(name, bent=False):
        start = keras.Input((None, None, 8))
        x = layers.Add()([layers.Conv2D(8, 1, name=name)(start), start])
        return keras.Model(start, layers.MaxPooling2D(2, name="bent")(x) if bent else x, name=f"{name}_block")

    twice = block("point")
    found = find_masked(pruned(twice, twice, block("last"), layers.GlobalAveragePooling2D()))
    assert [weight.path for weight in found] == ["point_block/point/kernel", "last_block/last/kernel"]
    head = keras.Sequential([layers.Conv2D(8, 1, name="inner"), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    assert [weight.layer.split("/")[-1] for weight in find_masked(pruned(head))] == ["inner"]
    with pytest.raises(ValueError, match="'bent' of class MaxPooling2D"):
        pruned(block("point", bent=True), layers.GlobalAveragePooling2D())
    with pytest.raises(ValueError, match="GlobalAveragePooling2D"):
        pruned(block("point"))
    whole = mobile()
    inputs = keras.Input((32, 32, 3))
    inside = keras.Model(inputs, whole(inputs))
    (weight,) = find_masked(sparsity.prune_low_magnitude(inside, pruning_policy=policy))
    assert weight.path.endswith("point/kernel")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padded": False}, "ZeroPadding2D"),
        ({"last": layers.Flatten}, "GlobalAveragePooling2D"),
        ({"middle": lambda: layers.Conv2D(4, 3, name="wide")}, "Received: 'wide' of class Conv2D"),
        ({"middle": lambda: layers.Conv2D(4, 1, strides=2, name="far")}, "'far'"),
        ({"middle": lambda: layers.Activation("tanh", name="bent")}, "'bent' of class Activation"),
        ({"middle": lambda: layers.DepthwiseConv2D(3, name="bare")}, "'bare'"),
        ({"middle": lambda: layers.BatchNormalization(axis=1, name="rows")}, "'rows'"),
        ({"middle": lambda: layers.UpSampling2D(name="near")}, "'near'"),
    ],
)
def test_the_xnnpack_policy_names_the_obstacle(changes, message):
    model = mobile(**{key: value() if callable(value) else value for key, value in changes.items()})
    with pytest.raises(ValueError, match=message):
        sparsity.prune_low_magnitude(model, pruning_policy=sparsity.PruneForLatencyOnXNNPack())
