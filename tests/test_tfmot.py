"""`keras_prune.tfmot`: tfmot's names, arguments and guides on Keras 3."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers
from pages import DOCS, blocks, run_page
from zoo import BACKEND

import keras_prune as kp
import keras_prune.tfmot as sparsity
from keras_prune.masks import find_masked

GUIDE = DOCS / "moving-from-tfmot.md"
ONLY_TENSORFLOW = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")


@pytest.fixture
def model():
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(6, activation="relu", name="first"), layers.Dense(2, name="second")]
    )


@pytest.fixture
def data(rng):
    return rng.normal(size=(64, 8)).astype("float32"), rng.normal(size=(64, 2)).astype("float32")


def fit(model, data, steps, batch_size=16, **kwargs):
    """Trains for `steps` steps; returns the sparsity after each."""
    x, y = data
    if not model.compiled:
        model.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError())
    seen = []
    after = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["sparsity"]))
    epochs = -(-steps * batch_size // len(x))
    callbacks = [sparsity.UpdatePruningStep(), after]
    model.fit(x, y, batch_size=batch_size, epochs=epochs, callbacks=callbacks, verbose=0, **kwargs)
    return seen


def zeros(model):
    return {weight.path: float(np.mean(~weight.kept())) for weight in find_masked(model)}


# Schedules.


@pytest.mark.parametrize("step", [0, 5, 10, 37, 50, 110, 200])
def test_polynomial_decay_is_tfmots_formula(step):
    schedule = sparsity.PolynomialDecay(0.2, 0.9, 10, 110, 3, 25)
    part = min(max((step - 10) / 100, 0), 1)
    prunes, now = schedule(step)
    assert now == pytest.approx(0.9 + (0.2 - 0.9) * (1 - part) ** 3, abs=1e-12)
    assert prunes == (10 <= step <= 110 and (step - 10) % 25 == 0)


def test_constant_sparsity_ends_or_not():
    assert [sparsity.ConstantSparsity(0.5, 10, frequency=5)(step)[0] for step in (5, 10, 12, 15, 1000)] == [
        False,
        True,
        False,
        True,
        True,
    ]
    ending = sparsity.ConstantSparsity(0.5, 10, 20, 5)
    assert [ending(step) for step in (20, 25)] == [(True, 0.5), (False, 0.5)]


@pytest.mark.parametrize(
    "schedule",
    [sparsity.PolynomialDecay(0.1, 0.8, 5, 50, 2, 7), sparsity.ConstantSparsity(0.4, 3, 30, 9)],
    ids=lambda schedule: type(schedule).__name__,
)
def test_schedules_have_tfmots_configuration(schedule):
    config = schedule.get_config()
    assert set(config) == {"class_name", "config"}
    assert set(config["config"]) == set(inspect.signature(type(schedule)).parameters)
    for given in (config, config["config"]):
        assert type(schedule).from_config(given).get_config() == config


def test_schedules_take_tfmots_positions():
    decay = list(inspect.signature(sparsity.PolynomialDecay).parameters)
    assert decay == ["initial_sparsity", "final_sparsity", "begin_step", "end_step", "power", "frequency"]
    constant = list(inspect.signature(sparsity.ConstantSparsity).parameters)
    assert constant == ["target_sparsity", "begin_step", "end_step", "frequency"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: sparsity.PolynomialDecay(0.0, 1.0, 0, 10),
        lambda: sparsity.PolynomialDecay(-0.1, 0.5, 0, 10),
        lambda: sparsity.PolynomialDecay(0.0, 0.5, 10, 5),
        lambda: sparsity.PolynomialDecay(0.0, 0.5, 0, -1),
        lambda: sparsity.PolynomialDecay(0.0, 0.5, 0, 10, frequency=0),
        lambda: sparsity.ConstantSparsity(0.5, -1),
        lambda: sparsity.ConstantSparsity(0.5, 10, 5),
        lambda: sparsity.ConstantSparsity(0.5, 0, -2),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()


# Training.


@pytest.mark.core
def test_masks_follow_the_schedule_and_the_original_stays(model, data):
    before = model.get_weights()
    pruned = sparsity.prune_low_magnitude(model, sparsity.PolynomialDecay(0.25, 0.75, 0, 10, power=1, frequency=4))
    seen = fit(pruned, data, steps=12)
    # Changes at 0, 4 and 8, and at the end, 10, which the frequency misses. 60 weights in two layers of 48 and 12.
    expected = [round(48 * s) / 60 + round(12 * s) / 60 for s in [0.25] * 3 + [0.45] * 4 + [0.65] * 2 + [0.75] * 3]
    np.testing.assert_allclose(seen, expected, atol=1e-9)
    for weight in find_masked(pruned):
        assert not np.any(keras.ops.convert_to_numpy(weight.weight)[~weight.kept()])
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


@pytest.mark.core
def test_each_layer_follows_its_own_schedule(data):
    first = sparsity.prune_low_magnitude(layers.Dense(8), sparsity.ConstantSparsity(0.5, 0))
    second = sparsity.prune_low_magnitude(layers.Dense(4), sparsity.ConstantSparsity(0.25, 6, frequency=1))
    model = keras.Sequential([keras.Input((8,)), first, second, layers.Dense(2)])
    fit(model, data, steps=4)
    assert list(zeros(model).values()) == [0.5, 0.0]
    fit(model, data, steps=4)
    assert list(zeros(model).values()) == [0.5, 0.25]
    plain = sparsity.strip_pruning(model)
    assert [type(layer) for layer in plain.layers] == [layers.Dense] * 3
    np.testing.assert_array_equal(plain.predict(data[0], verbose=0), model.predict(data[0], verbose=0))


def test_a_short_run_is_pruned_though_the_frequency_is_long(model, data):
    pruned = sparsity.prune_low_magnitude(model)
    fit(pruned, data, steps=4)
    assert zeros(pruned) == {"first/kernel": 0.5, "second/kernel": 0.5}


def test_a_run_too_short_for_the_schedule_warns(model, data):
    pruned = sparsity.prune_low_magnitude(model, sparsity.PolynomialDecay(0.0, 0.8, 0, 100))
    with pytest.warns(UserWarning, match="Training ended at step 4, before"):
        fit(pruned, data, steps=4)


class FromThird(sparsity.PruningSchedule):
    """Prunes at steps 3 and 9 only; `asked` are the steps that it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, step):
        self.asked.append(step)
        return step in (3, 9), {3: 0.25, 9: 0.5}.get(step, 0.9)

    def get_config(self):
        return {}


@pytest.mark.parametrize("at_once", [1, 4])
def test_schedules_of_users_are_asked_of_every_step(model, data, at_once):
    if at_once > 1 and BACKEND == "torch":
        pytest.skip("Keras on PyTorch runs one step at a time")
    pruned = sparsity.prune_low_magnitude(model, FromThird())
    pruned.compile("sgd", keras.losses.MeanSquaredError(), steps_per_execution=at_once)
    seen = fit(pruned, data, steps=12)
    expected = [0] * 2 + [0.25] * 6 + [0.5] * 4 if at_once == 1 else [0.25, 0.25, 0.5]
    np.testing.assert_allclose(seen, expected)
    asked = find_schedule(pruned).asked
    assert set(range(13)) <= set(asked)


def find_schedule(model):
    return model.layers[0].pruning_schedule


def test_frozen_layers_are_left_alone(model, data):
    model.layers[0].trainable = False
    pruned = sparsity.prune_low_magnitude(model)
    fit(pruned, data, steps=4)
    assert zeros(pruned) == {"first/kernel": 0.0, "second/kernel": 0.5}


def test_two_callbacks_and_models_without_masks_are_refused(model, data):
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="needs a model with masks"):
        model.fit(*data, callbacks=[sparsity.UpdatePruningStep()], verbose=0)
    pruned = sparsity.prune_low_magnitude(model)
    pruned.compile("sgd", "mse")
    with pytest.raises(ValueError, match="One PruningSchedule a fit"):
        pruned.fit(*data, callbacks=[sparsity.UpdatePruningStep(), sparsity.UpdatePruningStep()], verbose=0)
    wrapped = kp.wrap_pruning(model)
    with pytest.raises(ValueError, match=r"from `prune_low_magnitude`.*Received: the layer 'first'"):
        sparsity.UpdatePruningStep().set_model(wrapped)


@pytest.mark.core
def test_a_loop_of_ones_own(model, data):
    pruned = sparsity.prune_low_magnitude(model, sparsity.PolynomialDecay(0.0, 0.5, 1, 3, power=1, frequency=1))
    callback = sparsity.UpdatePruningStep()
    callback.set_model(pruned)
    with pytest.raises(ValueError, match=r"set `model\.optimizer`"):
        callback.on_train_begin()
    pruned.optimizer = keras.optimizers.SGD(0.01)
    pruned.optimizer.build(pruned.trainable_variables)
    callback.on_train_begin()
    seen = []
    for epoch in range(2):
        for _ in range(2):
            callback.on_train_batch_begin(batch=-1)
            seen.append(zeros(pruned)["first/kernel"])
            gradients = [keras.ops.ones(variable.shape) for variable in pruned.trainable_variables]
            pruned.optimizer.apply(gradients, pruned.trainable_variables)
        callback.on_epoch_end(batch=epoch)
    assert seen == [0, 0, 0.25, 0.5]  # the sparsity at step 1 is that of the start
    for weight in find_masked(pruned):
        assert not np.any(keras.ops.convert_to_numpy(weight.weight)[~weight.kept()])


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


@pytest.mark.core
def test_everything_is_saved(model, data, tmp_path):
    pruned = sparsity.prune_low_magnitude(
        model, sparsity.PolynomialDecay(0.1, 0.5, 0, 4, frequency=2), sparsity_m_by_n=[2, 4]
    )
    fit(pruned, data, steps=4)
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].pruning_schedule.get_config() == pruned.layers[0].pruning_schedule.get_config()
    assert loaded.layers[0].sparsity_m_by_n == (2, 4)
    assert zeros(loaded) == zeros(pruned) == {"first/kernel": 0.5, "second/kernel": 1 / 3}  # 6 inputs: 4 and 2
    np.testing.assert_array_equal(loaded.predict(data[0], verbose=0), pruned.predict(data[0], verbose=0))


@pytest.mark.parametrize("functional", [False, True])
def test_h5_files_load_in_the_scope(model, data, tmp_path, functional):
    if functional:
        model = keras.Model(model.inputs, model.outputs)
    pruned = sparsity.prune_low_magnitude(model, block_size=(2, 1))
    fit(pruned, data, steps=4)
    pruned.save(tmp_path / "model.h5")
    with sparsity.prune_scope():
        loaded = keras.saving.load_model(tmp_path / "model.h5")
    assert isinstance(loaded, kp.PrunedModel)
    assert zeros(loaded) == zeros(pruned)
    np.testing.assert_array_equal(loaded.predict(data[0], verbose=0), pruned.predict(data[0], verbose=0))
    loaded.compile("sgd", keras.losses.MeanSquaredError())  # the optimizers that Keras loads from .h5 do not work
    fit(loaded, data, steps=4)
    model.save(tmp_path / "plain.h5")
    with sparsity.prune_scope():
        assert not isinstance(keras.saving.load_model(tmp_path / "plain.h5"), kp.PrunedModel)


def test_schedules_of_users_are_saved_when_keras_knows_them(model, tmp_path):
    sparsity.prune_low_magnitude(model, FromThird()).save(tmp_path / "model.keras")
    with pytest.raises((ValueError, TypeError), match="pruning schedule of class 'FromThird' is not known"):
        keras.saving.load_model(tmp_path / "model.keras")
    with keras.saving.custom_object_scope({"FromThird": FromThird}):
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(find_schedule(loaded), FromThird)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pruning_schedule": 0.5}, "must be a schedule"),
        ({"pruning_schedule": kp.ConstantSparsity(0.5)}, "must be a schedule"),
        ({"block_pooling_type": "MIN"}, "'AVG' or 'MAX'"),
        ({"block_size": (1, 0)}, "above 0"),
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
    with pytest.raises(ValueError, match="no weights yet"):
        sparsity.prune_low_magnitude(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match=r"takes a `keras.Model`"):
        sparsity.strip_pruning(model.layers[0])


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


# Summaries, examples, the guide.


@ONLY_TENSORFLOW
def test_summaries_hold_sparsity_and_threshold(model, data, tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.util import tensor_util

    pruned = sparsity.prune_low_magnitude(model, sparsity.ConstantSparsity(0.5, 0))
    pruned.compile(keras.optimizers.SGD(0.0), keras.losses.MeanSquaredError())
    callbacks = [sparsity.UpdatePruningStep(), sparsity.PruningSummaries(str(tmp_path))]
    pruned.fit(*data, epochs=2, batch_size=16, verbose=0, callbacks=callbacks)
    events = event_accumulator.EventAccumulator(str(tmp_path / "metrics")).Reload()

    def read(tag):
        return {event.step: float(tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)}

    assert read("first/kernel/sparsity") == {0: 0.5, 4: 0.5}
    kernel = np.abs(model.layers[0].get_weights()[0])
    assert read("first/kernel/threshold")[4] == pytest.approx(np.sort(kernel, axis=None)[24])


@pytest.mark.parametrize("wrong", ["", None, 3])
def test_summaries_need_a_folder(wrong):
    with pytest.raises(ValueError, match="log_dir"):
        sparsity.PruningSummaries(wrong)


def test_summaries_say_what_is_missing(model, tmp_path, monkeypatch):
    summaries = sparsity.PruningSummaries(str(tmp_path))

    def missing(self):
        raise ImportError("No module named 'tensorflow'")

    monkeypatch.setattr(sparsity.PruningSummaries, "summary", property(missing))
    with pytest.raises(ImportError, match="needs TensorFlow and TensorBoard"):
        summaries.set_model(model)


DOCUMENTED = [getattr(sparsity, name) for name in sparsity.__all__]


@ONLY_TENSORFLOW
@pytest.mark.parametrize("thing", DOCUMENTED, ids=lambda thing: thing.__name__)
def test_docstring_examples_run(thing, model, data, tmp_path, monkeypatch):
    examples = [block.code for block in blocks(inspect.getdoc(thing) or "")]
    assert examples or thing is sparsity.PruneLowMagnitude, f"{thing.__name__} has no example"
    monkeypatch.chdir(tmp_path)
    for example in examples:
        names = {"sparsity": sparsity, "keras": keras, "model": model, "x": data[0], "y": data[1]}
        exec(example, names)


@ONLY_TENSORFLOW
def test_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(blocks(GUIDE.read_text())) == 7
    names = run_page(GUIDE)
    assert all(part == pytest.approx(0.8, abs=0.01) for part in zeros(names["pruned"]).values())
    assert all(part == 0.5 for part in zeros(names["loop"]).values())
    for name in ("some", "functional", "custom", "blocks", "two_of_four"):
        assert find_masked(names[name]), name
