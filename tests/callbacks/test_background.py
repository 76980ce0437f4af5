"""Keras may handle the ends of batches beside the next step: nothing that can be seen differs then."""

import keras
import numpy as np
import pytest
from support.zoo import BACKEND, mlp, regression, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked, masked_sparsity

pytestmark = pytest.mark.core


class BatchEnds(keras.callbacks.Callback):
    """Keras waits for each step where there is such a callback."""

    def on_train_batch_end(self, batch, logs=None):
        assert "sparsity" in logs


class EpochEnds(keras.callbacks.Callback):
    """What a callback that has hooks of epochs only can see."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def note(self, *args):
        self.seen.append(masked_sparsity(find_masked(self.model)))

    def on_epoch_end(self, epoch, logs=None):
        self.note()

    def on_test_begin(self, logs=None):
        self.note()


def train(*callbacks, epochs=3, **arguments):
    """8 steps an epoch (with validation 6), the last update at the 16th. The history, and all weights."""
    keras.utils.set_random_seed(3)
    model = kp.wrap_pruning(mlp())
    model.compile("adam", "mse")
    x, y = regression(model, 64)
    history = model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments)
    return history.history, [value(weight) for weight in model.weights]


def schedule(frequency=3):
    return kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.8, end_step=16), frequency=frequency)


@pytest.mark.parametrize(("frequency", "validation"), [(1, {}), (3, {"validation_split": 0.25}), (8, {})])
def test_the_same_model_is_trained(frequency, validation):
    alone, weights = train(schedule(frequency), **validation)
    waiting, others = train(schedule(frequency), BatchEnds(), **validation)
    assert alone == waiting
    for mine, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("validation", [{}, {"validation_split": 0.25}])
def test_the_ends_of_epochs_see_the_masks_of_their_last_step(first, validation):
    watch = EpochEnds()
    history, _ = train(*([schedule(8), watch] if first else [watch, schedule(8)]), **validation)
    seen = watch.seen[:: 2 if validation else 1]
    np.testing.assert_allclose(seen, history["sparsity"])
    if not validation:
        assert history["sparsity"][1] == pytest.approx(0.8, abs=0.01)


def test_keras_waits_for_no_step_where_only_the_schedule_ends_batches(monkeypatch):
    lists = []
    real = keras.callbacks.CallbackList.on_train_end

    def spy(self, logs=None):
        lists.append(self._async_train)
        return real(self, logs)

    monkeypatch.setattr(keras.callbacks.CallbackList, "on_train_end", spy)
    callback = schedule()
    train(callback, epochs=2)
    assert not callback.async_safe  # it is so in `fit` only
    train(EpochEnds(), schedule(), epochs=2)
    train(schedule(), BatchEnds(), epochs=2)
    model = kp.wrap_pruning(mlp())
    model.compile("sgd", "mse")
    x, y = regression(model, 16)
    model.fit(x, y, 8, 1, 0, [kp.PruningSchedule(kp.ConstantSparsity(0.5))])  # by position

    class Own(kp.PruningSchedule):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)

    train(Own(kp.ConstantSparsity(0.5)), epochs=1)
    safe = BACKEND != "tensorflow"  # where Keras always waits
    assert lists == [safe, False, False, safe, False]


def test_the_sparsity_is_in_the_logs_of_batches_and_in_the_progress_bar(capsys):
    model = kp.wrap_pruning(mlp())
    model.compile("adam", "mse")
    x, y = regression(model, 64)
    model.fit(x, y, batch_size=8, verbose=1, callbacks=[kp.PruningSchedule(kp.ConstantSparsity(0.5))])
    assert "sparsity: 0.5" in capsys.readouterr().out
