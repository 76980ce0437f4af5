"""`keras_prune.tfmot`: tfmot's schedules, training, files and guides on Keras 3."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers
from support.pages import DOCS, blocks, run_page
from support.tfmot_runs import fit, zeros
from support.zoo import BACKEND

import keras_prune as kp
import keras_prune.tfmot as sparsity
from keras_prune.masking.masked_weights import find_masked

GUIDE = DOCS / "guides" / "moving-from-tfmot.md"
ONLY_TENSORFLOW = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")


@pytest.fixture
def model():
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(6, activation="relu", name="first"), layers.Dense(2, name="second")]
    )


@pytest.fixture
def data(rng):
    return rng.normal(size=(64, 8)).astype("float32"), rng.normal(size=(64, 2)).astype("float32")


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
    assert isinstance(loaded, kp.masking.PrunedModel)
    assert zeros(loaded) == zeros(pruned)
    np.testing.assert_array_equal(loaded.predict(data[0], verbose=0), pruned.predict(data[0], verbose=0))
    loaded.compile("sgd", keras.losses.MeanSquaredError())  # the optimizers that Keras loads from .h5 do not work
    fit(loaded, data, steps=4)
    model.save(tmp_path / "plain.h5")
    with sparsity.prune_scope():
        assert not isinstance(keras.saving.load_model(tmp_path / "plain.h5"), kp.masking.PrunedModel)


def test_schedules_of_users_are_saved_when_keras_knows_them(model, tmp_path):
    sparsity.prune_low_magnitude(model, FromThird()).save(tmp_path / "model.keras")
    with pytest.raises((ValueError, TypeError), match="pruning schedule of class 'FromThird' is unknown"):
        keras.saving.load_model(tmp_path / "model.keras")
    with keras.saving.custom_object_scope({"FromThird": FromThird}):
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(find_schedule(loaded), FromThird)


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


clustering = sparsity.clustering.keras
DOCUMENTED = [getattr(sparsity, name) for name in sparsity.__all__ if not inspect.ismodule(getattr(sparsity, name))] + [
    clustering.cluster_weights,
    clustering.ClusterableLayer,
    clustering.experimental.cluster_weights,
]


@ONLY_TENSORFLOW
@pytest.mark.parametrize("thing", DOCUMENTED, ids=lambda thing: thing.__name__)
def test_docstring_examples_run(thing, model, data, tmp_path, monkeypatch):
    examples = [block.code for block in blocks(inspect.getdoc(thing) or "")]
    assert examples or thing is sparsity.PruneLowMagnitude, f"{thing.__name__} has no example"
    monkeypatch.chdir(tmp_path)
    for example in examples:
        names = {"sparsity": sparsity, "clustering": clustering, "keras": keras, "model": model}
        names |= dict(zip("xy", data, strict=True))
        exec(example, names)


@ONLY_TENSORFLOW
def test_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(blocks(GUIDE.read_text())) == 8
    names = run_page(GUIDE)
    assert all(part == pytest.approx(0.8, abs=0.01) for part in zeros(names["pruned"]).values())
    assert all(part == 0.5 for part in zeros(names["loop"]).values())
    for name in ("some", "functional", "custom", "blocks", "two_of_four"):
        assert find_masked(names[name]), name
