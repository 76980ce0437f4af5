"""`fit` of a tfmot model without the callback that prunes it is an error, as in tfmot; nothing else is."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_prune as kp
import keras_prune.tfmot as sparsity

pytestmark = pytest.mark.core
MESSAGE = r"(?s)pass it to `fit\(\.\.\., callbacks=\[UpdatePruningStep\(\)\]\)`\. Received: `fit` of the model"


@pytest.fixture
def data(rng):
    return rng.normal(size=(32, 8)).astype("float32"), rng.normal(size=(32, 2)).astype("float32")


def plain():
    return keras.Sequential([keras.Input((8,)), layers.Dense(6), layers.Dense(2)])


def whole():
    return sparsity.prune_low_magnitude(plain(), sparsity.ConstantSparsity(0.5, 0))


def one_layer():
    return keras.Sequential([keras.Input((8,)), layers.Dense(6), sparsity.prune_low_magnitude(layers.Dense(2))])


def cloned():
    def wrap(layer):
        return sparsity.prune_low_magnitude(layer) if isinstance(layer, layers.Dense) else layer

    return keras.models.clone_model(plain(), clone_function=wrap)


def unbuilt():
    return keras.Sequential([layers.Dense(6), sparsity.prune_low_magnitude(layers.Dense(2))])


def nested():
    return keras.Sequential([keras.Input((8,)), whole()])


def compiled(model):
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("build", [whole, one_layer, cloned, unbuilt, nested], ids=lambda build: build.__name__)
@pytest.mark.filterwarnings("ignore:The model .* has masks in it")
def test_fit_without_the_callback_is_refused_before_anything_has_changed(build, data):
    model = compiled(build())
    before = [np.array(weight) for weight in model.get_weights()]
    with pytest.raises(ValueError, match=MESSAGE):
        model.fit(*data, verbose=0)
    if build is unbuilt:  # half of it was built, as Keras leaves it
        model = compiled(build())
    else:
        assert all(map(np.array_equal, model.get_weights(), before))
    model.fit(*data, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    pruned = kp.summary(model).masked
    assert pruned
    assert all(weight.sparsity == 0.5 for layer in pruned for weight in layer.weights)


def test_what_is_pruned_already_is_fine_tuned_without_it(data, tmp_path):
    model = compiled(whole())
    model.fit(*data, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    model.fit(*data, verbose=0)
    model.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    loaded.fit(*data, verbose=0)
    assert kp.summary(loaded).prunable_sparsity == 0.5


def test_a_schedule_that_begins_later_is_as_good_as_one_that_has_begun(data):
    model = compiled(sparsity.prune_low_magnitude(plain(), sparsity.ConstantSparsity(0.5, 100)))
    with pytest.warns(UserWarning, match="Nothing was pruned: no schedule began by step 1"):
        model.fit(*data, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    with pytest.warns(UserWarning, match="Nothing was pruned: `fit` had no callback that prunes"):
        model.fit(*data, verbose=0)  # of which tfmot says nothing


def prune_once(model, data):
    return kp.prune_weights(model, 0.5)


def cluster(model, data):
    return kp.cluster_weights(model, 4)


def use(model, data):
    """Whatever is no `fit`, before one with the callback."""
    compiled(model)
    model.evaluate(*data, verbose=0)
    model.predict(data[0], verbose=0)
    model.train_on_batch(*data)
    model(data[0], training=True)
    step = sparsity.UpdatePruningStep()
    step.set_model(model)
    return model


@pytest.mark.parametrize("prepare", [prune_once, cluster, use], ids=lambda prepare: prepare.__name__)
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_there_is_no_false_alarm(prepare, data):
    compiled(prepare(whole(), data)).fit(*data, verbose=0)


def test_evaluation_in_fit_is_no_training(data):
    model = compiled(plain())
    other = compiled(whole())
    model.fit(
        *data,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: other.evaluate(*data, verbose=0))],
    )


def test_the_callback_finds_the_layers_that_the_first_step_builds(data):
    model = compiled(
        keras.Sequential([sparsity.prune_low_magnitude(layers.Dense(2), sparsity.ConstantSparsity(0.25, 0))])
    )
    model.fit(*data, batch_size=8, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    assert kp.summary(model).prunable_sparsity == 0.25


def test_a_sparse_checkpoint_knows_when_all_schedules_have_ended(data, tmp_path):
    model = compiled(sparsity.prune_low_magnitude(plain(), sparsity.PolynomialDecay(0.0, 0.5, 0, 4, frequency=1)))
    step, seen = sparsity.UpdatePruningStep(), []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(step.is_at_target))
    model.fit(*data, batch_size=16, epochs=3, verbose=0, callbacks=[step, note])
    assert seen == [False, True, True]


class Nothing(sparsity.PruningPolicy):
    def allow_pruning(self, layer):
        return False

    def ensure_model_supports_pruning(self, model):
        pass


def test_a_policy_that_allows_no_layer_is_said(recwarn):
    with pytest.warns(UserWarning, match=r"No layer of .* will be pruned.*pruning_policy=Nothing"):
        sparsity.prune_low_magnitude(plain(), pruning_policy=Nothing())
    recwarn.clear()
    whole()
    assert not any("will be pruned" in str(each.message) for each in recwarn)
