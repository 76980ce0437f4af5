"""Bad input to PruningSchedule and prune_weights: a clear error, and nothing changed."""

import keras
import numpy as np
import pytest
from keras import layers
from support.training_runs import assert_kept, fit, ramp
from support.zoo import BACKEND, mlp, subclassed, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": None}, "schedule=None"),
        ({"schedule": 0.5}, "schedule=0.5"),
        ({"schedule": kp.PolynomialDecay}, "schedule=<class"),
        ({"schedule": kp.ConstantSparsity(0.5), "targets": {"a": "0.5"}}, "'0.5'"),
        ({"schedule": kp.ConstantSparsity(0.5), "frequency": -1}, "frequency=-1"),
        ({"schedule": kp.ConstantSparsity(0.5), "frequency": 0}, "frequency=0"),
        ({"schedule": kp.ConstantSparsity(0.5), "targets": {"a": 1.0}}, "1.0"),
        ({"schedule": kp.ConstantSparsity(0.5), "targets": {"a": float("nan")}}, "nan"),
        ({"schedule": kp.ConstantSparsity(0.5), "importance": "size"}, "'size'"),
        ({"schedule": kp.ConstantSparsity(0.5), "selection": kp.Threshold(0.1)}, "Threshold"),
        ({"selection": kp.Threshold(0.1), "targets": {"a": 0.5}}, "Threshold"),
        ({"schedule": lambda step: 0.5, "targets": {"a": 0.5}}, "final sparsity"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"(?s){message}") as error:
        kp.PruningSchedule(**arguments)
    assert "Received: " in str(error.value)


def test_arguments_of_the_wrong_type_are_refused():
    with pytest.raises(TypeError, match="Received: selection='global'"):
        kp.PruningSchedule(kp.ConstantSparsity(0.5), selection="global")
    with pytest.raises(TypeError, match="Received: targets"):
        kp.PruningSchedule(kp.ConstantSparsity(0.5), targets=["output"])
    with pytest.raises(TypeError, match="Received: <class"):
        kp.PruningSchedule(kp.ConstantSparsity(0.5), targets={layers.Dense: 0.5})
    with pytest.raises(TypeError, match="Received: model=None"):
        kp.apply_masks(None)


def unchanged(model, action, error, match):
    before = [value(w) for w in model.weights]
    with pytest.raises(error, match=match):
        action()
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(value(new), old)


def test_a_model_without_masks_is_refused():
    model = mlp()
    unchanged(
        model, lambda: fit(model, kp.PruningSchedule(kp.ConstantSparsity(0.5))), ValueError, "wrap_pruning.*Received"
    )
    assert not isinstance(model, kp.masking.PrunedModel)


def test_the_step_is_that_of_the_models_optimizer():
    @keras.saving.register_keras_serializable("tests")
    class Own(keras.Model):  # as a GAN has two
        def train_step(self, *args):
            return {"loss": 0.0} if BACKEND != "jax" else ({"loss": 0.0}, args[0])

    inputs = keras.Input((12,))
    model = kp.wrap_pruning(Own(inputs, layers.Dense(4)(inputs)))
    with pytest.warns(UserWarning, match=r"`model.optimizer` made no step.*after_step\(step\)"):
        fit(model, kp.PruningSchedule(ramp()))
    model.optimizer = None
    pruning = kp.PruningSchedule(ramp())
    pruning.set_model(model)
    with pytest.raises(ValueError, match=r"after_step\(step\).*Received: model.optimizer=None"):
        pruning.on_epoch_begin(0)


def test_two_schedules_in_one_fit_are_refused():
    model = kp.wrap_pruning(mlp())
    two = [kp.PruningSchedule(kp.ConstantSparsity(0.5)), kp.PruningSchedule(kp.ConstantSparsity(0.6))]
    unchanged(model, lambda: fit(model, *two), ValueError, "Received: two")
    fit(model, two[0])  # and one alone is fine afterwards
    assert_kept(model, 0.5)


def test_a_target_that_names_no_layer_is_refused():
    model = kp.wrap_pruning(mlp())
    bad = kp.PruningSchedule(kp.ConstantSparsity(0.5), targets={"outputs": 0.5})
    unchanged(model, lambda: fit(model, bad), ValueError, "'output'.*Received: 'outputs'")


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan"), None, "half"])
def test_prune_weights_refuses_bad_sparsity(sparsity):
    model = subclassed()
    unchanged(model, lambda: kp.prune_weights(model, sparsity), ValueError, r"\[0, 1\).*Received")
    assert not isinstance(model, kp.masking.PrunedModel)


def test_prune_weights_refuses_what_it_cannot_prune():
    model = subclassed()
    unchanged(model, lambda: kp.prune_weights(model, 0.5, targets={"lst": None}), ValueError, "'last'.*Received: 'lst'")
    unchanged(model, lambda: kp.prune_weights(model, 0.5, selection=kp.Threshold(1.0)), ValueError, "takes no sparsity")
    assert not find_masked(model)
    nothing = keras.Sequential([keras.Input((3,)), layers.BatchNormalization()], name="nothing")
    with pytest.raises(ValueError, match="Received: the model 'nothing'"):
        kp.prune_weights(nothing, 0.5)


def test_a_schedule_that_returns_no_sparsity_is_refused():
    with pytest.raises(ValueError, match=r"schedule\(0\).*Received"):
        fit(kp.wrap_pruning(mlp()), kp.PruningSchedule(lambda step: 1.5))


def test_diverged_weights_are_refused():
    model = mlp()
    kernel = value(model.layers[0].kernel).copy()
    kernel[0, 0] = np.nan
    model.layers[0].kernel.assign(kernel)
    with pytest.raises(ValueError, match="diverge"):
        kp.prune_weights(model, 0.5)
