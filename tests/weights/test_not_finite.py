"""Weights or scores that are NaN or infinite never change a mask: a call raises, a training goes on and says so."""

import warnings

import keras
import numpy as np
import pytest

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.selection import Candidate

X = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
Y = X[:, :4]
SELECTIONS = [
    kp.RelativeThreshold(0.1),
    kp.StdThreshold(0.1),
    kp.Threshold(0.01),
    kp.Percentile(),
    kp.Percentile("global", normalize="mean"),
    kp.NByM(2, 4),
    kp.Block((4, 1)),
    kp.Block((4, 1), "max"),
]


def square(weight):
    return weight**2


CRITERIA = [
    *("magnitude", "lamp", "random", "wanda", "activation_weight", "mean_activation", "apoz", "entropy"),
    *("gradient", "taylor", "snip", "fisher", "loss_change"),
    square,
]


def mlp():
    first, second = (
        keras.layers.Dense(8, activation="relu", name="first"),
        keras.layers.Dense(4, name="second"),
    )
    return keras.Sequential([keras.Input((8,)), first, second])


def spoil(model, bad, layer="second"):
    """Writes one bad number into the kernel of a layer."""
    layer = model.get_layer(layer)
    kernel = getattr(layer, "layer", layer).kernel
    values = np.array(keras.ops.convert_to_numpy(kernel))
    values[0, 0] = bad
    kernel.assign(values)
    return model


def half(selection):
    return 0.5 if selection.needs_sparsity else None


def masks(model):
    return [weight.kept() for weight in find_masked(model)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_a_call_names_the_weight(selection, bad):
    with pytest.raises(
        ValueError, match=r"Weights must be finite.*Received: NaN or infinite values in 'second/kernel'"
    ):
        kp.prune_weights(spoil(mlp(), bad), half(selection), selection=selection)


@pytest.mark.parametrize("importance", CRITERIA)
def test_so_does_one_with_any_criterion_and_all_masks_are_as_before(importance):
    model = spoil(kp.wrap_pruning(mlp()), np.nan)
    with pytest.raises(ValueError, match=r"Received: NaN or infinite values in 'second/kernel'"):
        list(kp.IterativeMagnitude(model, 0.5, rounds=1, trained=True, importance=importance, data=(X, Y), loss="mse"))
    assert all(kept.all() for kept in masks(model))  # those of the first layer too


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_scores_that_are_not_finite_name_the_weight(selection, bad):
    def importance(weight):
        return np.where(weight.shape[1] == 4, bad, np.abs(weight))

    model = kp.wrap_pruning(mlp())
    loop = kp.IterativeMagnitude(
        model,
        half(selection),
        rounds=1,
        trained=True,
        selection=selection,
        importance=importance,
    )
    with pytest.raises(ValueError, match=r"Scores of weights must be finite.*infinite scores of 'second/kernel'"):
        list(loop)
    assert all(kept.all() for kept in masks(model))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_scores_of_pruned_weights_do_not_count(selection, bad, rng):
    weight = rng.normal(size=(8, 4)).astype("float32")
    kept = np.ones(weight.shape, bool)
    kept[[0, 5], 1] = False

    def select(score):
        candidate = Candidate(weight, lambda values: np.where(kept, np.abs(values), score), kept)
        (mask,) = selection.select([lambda: candidate], half(selection) or 0.0, 0)
        return mask

    np.testing.assert_array_equal(select(bad), select(0.0))
    assert select(bad).any()
    assert not select(bad)[~kept].any()


def test_movement_that_is_not_finite_names_the_weight():
    model = kp.wrap_pruning(mlp(), movement=True)
    moved = find_masked(model)[1].movement
    moved.assign(np.full(moved.shape, np.nan))
    with pytest.raises(ValueError, match=r"infinite scores of 'second/kernel'"):
        kp.prune_weights(model, 0.5, importance="movement")
    assert all(kept.all() for kept in masks(model))


@pytest.mark.parametrize("importance", ["gradient", "taylor", "snip", "fisher"])
def test_gradients_that_are_not_finite_name_the_weight(importance):
    def loss(y, made):  # finite, but its gradient at 0 is not
        return keras.ops.sqrt(keras.ops.abs(made - made))

    with pytest.raises(
        ValueError, match=r"The gradients of the loss must be finite.*values in '(first|second)/kernel'"
    ):
        kp.prune_weights(mlp(), 0.5, importance=importance, data=(X, Y), loss=loss)


HALF = {"schedule": kp.ConstantSparsity(0.5, begin_step=2)}
SCHEDULES = {
    "std": {"selection": kp.StdThreshold(0.2)},
    "relative": {"selection": kp.RelativeThreshold(0.2)},
    "percentile": HALF,
    "global": HALF | {"selection": kp.Percentile("global")},
    "n_by_m": HALF | {"selection": kp.NByM(2, 4)},
    **{name: HALF | {"importance": name} for name in ("lamp", "wanda", "taylor", "movement", "random")},
}


class AfterEachStep(keras.callbacks.Callback):
    """Keeps the masks after each step."""

    def __init__(self):
        super().__init__()
        self.masks = []

    def on_train_batch_end(self, batch, logs=None):
        self.masks.append(masks(self.model))


def diverge(callbacks, epochs=3, movement=False):
    """Trains a model whose first step makes its weights infinite; returns the history and what was said."""
    model = kp.wrap_pruning(mlp(), movement=movement)
    model.compile(keras.optimizers.SGD(1e30), "mse")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks)
    return model, history, [str(each.message) for each in caught if "masks are left" in str(each.message)]


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_training_that_diverges_goes_on_and_says_once_that_masks_are_left(kind):
    see = AfterEachStep()
    schedule = kp.PruningSchedule(**SCHEDULES[kind], frequency=2)
    model, history, said = diverge([schedule, see], movement=kind == "movement")
    assert len(history.history["loss"]) == 3
    assert np.isnan(history.history["loss"][-1])
    for now, first in zip(masks(model), see.masks[0], strict=True):
        np.testing.assert_array_equal(now, first)
        assert first.mean() > 0.5
    (text,) = said
    assert "Received: NaN or infinite values in 'first/kernel'" in text


def test_terminate_on_nan_gets_its_chance():
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5, begin_step=2), frequency=1)
    _, history, _ = diverge([schedule, keras.callbacks.TerminateOnNaN()])
    assert len(history.history["loss"]) <= 1


def test_masks_are_updated_once_all_is_finite_again_after_the_end_of_the_schedule_too():
    model = kp.wrap_pruning(mlp())
    model.compile(keras.optimizers.SGD(0.0), "mse")

    def importance(weight):
        return np.abs(weight) if int(model.optimizer.iterations) > 5 else weight * np.nan

    schedule = kp.PruningSchedule(
        kp.PolynomialDecay(final_sparsity=0.75, end_step=4), importance=importance, frequency=2
    )
    with pytest.warns(UserWarning, match=r"masks are left.*'first/kernel'"):
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[schedule])
    assert schedule.is_at_target
    assert kp.summary(model).prunable_sparsity == 0.75


def test_a_rule_that_regrows_refuses_scores_that_are_not_finite():
    class Bad(kp.SET):
        def growth(self, unit, step, statistics):
            return np.full(unit.values.size, np.nan)

    model = kp.prune_weights(mlp(), 0.5)
    before = masks(model)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5), regrowth=Bad(end_step=2), frequency=2)
    with pytest.warns(UserWarning, match=r"Scores of weights that may grow.*'first/kernel'"):
        model.fit(X, Y, batch_size=8, verbose=0, callbacks=[schedule])
    for old, new in zip(before, masks(model), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.filterwarnings("ignore:HoldAccuracy")
def test_hold_accuracy_does_not_take_an_epoch_without_its_masks_as_one_that_holds():
    def importance(weight):
        return weight * np.nan

    model = kp.wrap_pruning(mlp())
    model.compile(keras.optimizers.SGD(0.0), "mse")
    hold = kp.HoldAccuracy(monitor="loss", max_drop=1.0, mode="min", step=0.5, importance=importance, patience=1)
    with pytest.warns(UserWarning, match="masks are left"):
        model.fit(X, Y, epochs=6, verbose=0, callbacks=[hold])
    assert [each.decision for each in hold.decisions][:2] == ["baseline", "failed"]
    assert not any(each.decision == "held" for each in hold.decisions)
    assert kp.summary(model).prunable_sparsity == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("importance", ["l2", "l1", "lamp", "fpgm", "random", "wanda", "apoz", "taylor"])
def test_channels_name_the_weight_too(importance, bad):
    with pytest.raises(ValueError, match=r"Received: NaN or infinite values in 'first/kernel'"):
        kp.prune_channels(spoil(mlp(), bad, "first"), 0.5, importance=importance, data=(X, Y), loss="mse")


def test_so_do_layers_name_what_cannot_be_scored():
    inputs = keras.Input((8,))
    made = inputs
    for name in ("a", "b"):
        made = keras.layers.Add(name=f"add_{name}")([made, keras.layers.Dense(8, name=name)(made)])
    model = spoil(keras.Model(inputs, made), np.nan, "a")
    with pytest.raises(ValueError, match=r"one finite number.*Received: nan for 'add_a'"):
        kp.prune_layers(model, ratio=0.5, importance="l2")
