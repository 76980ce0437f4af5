"""Fine-tuning of a candidate: the best epoch is kept, the rate falls, and what is hopeless ends early."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import value

import keras_prune as kp
from keras_prune.automation.fine_tuning import Effort, fine_tune

CORE = pytest.mark.core
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X[:, :1] * 2


def network(optimizer=None, masked=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="hidden"), layers.Dense(1, name="output")])
    if masked:
        model = kp.prune_weights(model, 0.5)
    model.compile(optimizer or keras.optimizers.SGD(0.05), "mse")
    return model


def weights(model):
    return [np.array(value(weight)) for weight in model.weights]


def tune(values, lower=False, epochs=4, optimizer=None, masked=False, **effort):
    """Fine-tune with given values of the metric; return what came of it, the model, and weights and rates by epoch."""
    model, seen, rates, given = (
        network(optimizer, masked),
        [],
        [],
        itertools.chain(values, itertools.repeat(values[-1])),
    )

    def measure():
        seen.append(weights(model))
        rates.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
        return next(given)

    data = {"x": X, "y": Y, "batch_size": 16}
    found = fine_tune(model, measure, lower, Effort(epochs, 1, **effort), data)
    return found, model, seen, rates


@CORE
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("values", "lower", "best"),
    [
        ((0.1, 0.5, 0.9, 0.7, 0.8), False, 2),
        ((0.1, 0.5, 0.9, 0.7, 0.8), True, 0),  # as it was pruned
        ((0.1, 0.9, 0.5, 0.9, 0.8), False, 3),  # of equals the later one
        ((0.1, 0.2, 0.3, 0.4, 0.5), False, 4),
        ((math.nan, 0.2, math.nan, 0.1, math.nan), False, 1),
        ((math.nan,), False, 4),
    ],
)
def test_the_best_epoch_is_kept(values, lower, best, masked):
    found, model, seen, _ = tune(values, lower, masked=masked)
    assert (found.kept, found.epochs, len(seen)) == (best, 4, 5)
    assert not np.array_equal(seen[0][0], seen[-1][0])
    assert all(map(np.array_equal, weights(model), seen[best]))


@CORE
def test_an_average_of_the_weights_is_measured_too():
    """Keras writes it after the last epoch, over the weights."""

    def averaged():
        return keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)

    found, model, seen, _ = tune((0.1, 0.2, 0.3, 0.9), epochs=2, optimizer=averaged())
    assert (found.kept, len(seen)) == (3, 4)
    assert all(map(np.array_equal, weights(model), seen[3]))
    assert not np.array_equal(seen[2][0], seen[3][0])
    found, model, seen, _ = tune((0.1, 0.2, 0.3, 0.1), epochs=2, optimizer=averaged())
    assert found.kept == 2
    assert all(map(np.array_equal, weights(model), seen[2]))


@CORE
def test_the_rate_falls_in_the_second_half():
    rates = tune((0.5,), epochs=8)[-1][1:]
    assert rates == pytest.approx([0.05] * 5 + [0.05 * (1 + math.cos(math.pi * part / 4)) / 2 for part in (1, 2, 3)])
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05), initial_scale=2.0)
    assert tune((0.5,), optimizer=scaled)[-1][1:] == pytest.approx([0.05, 0.05, 0.05, 0.025])


def test_a_schedule_of_the_users_is_left_alone():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.5)
    rates = tune((0.5,), epochs=2, optimizer=keras.optimizers.SGD(schedule))[-1]
    assert rates == pytest.approx([0.05, 0.05 * 0.5**2, 0.05 * 0.5**4])  # two steps an epoch


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("values", "epochs"),
    [
        ((0.1,), 4),  # nothing gained in half of 8 epochs
        ((0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), 8),  # it comes near
        ((0.1, 0.1, 0.1, 0.1, 0.15, 0.15), 4),  # 0.025 an epoch is too slow, even twice that for 4 more
        ((0.1, 0.1, 0.1, 0.2, 0.2, 0.2), 5),  # 0.1 in two epochs was fast enough, in three it is not
        ((0.91,), 8),
    ],
)
def test_what_is_hopeless_ends_early(values, epochs, sign):
    signed = tuple(sign * each for each in values)
    found = tune(signed, lower=sign < 0, epochs=8, hopeless=sign * 0.55)[0]
    assert found.epochs == epochs
    assert tune(signed, lower=sign < 0, epochs=8)[0].epochs == 8  # unless nobody asks
