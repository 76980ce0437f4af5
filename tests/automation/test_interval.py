"""The confidence interval of a metric: against its equation, against simulations, and of real metrics."""

import math

import keras
import numpy as np
import pytest
from keras import layers

from keras_prune.automation.interval import bootstrap, confidence_interval, is_accuracy, wilson
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.evaluation import Evaluation

CORE = pytest.mark.core


@pytest.mark.parametrize(("right", "count"), [(379, 400), (200, 400), (5, 6), (1, 1000)])
def test_the_binomial_interval_solves_its_equation(right, count):
    """Its ends are the rates of which the measured one is just 1.96 standard deviations away."""
    rate = right / count
    for end in wilson(rate, count):
        assert abs(rate - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / count), rel=1e-5)
    low, high = wilson(rate, count)
    assert low < rate < high


def test_the_binomial_interval_at_its_ends():
    assert wilson(1.0, 100)[1] == pytest.approx(1.0)
    assert wilson(1.0, 100)[0] == pytest.approx(100 / (100 + 1.959964**2), rel=1e-5)
    assert wilson(0.0, 100)[0] == pytest.approx(0.0, abs=1e-12)


def test_the_binomial_interval_holds_the_rate_in_19_of_20_cases():
    rng = np.random.default_rng(0)
    held = [low <= 0.9 <= high for low, high in (wilson(right / 200, 200) for right in rng.binomial(200, 0.9, 4000))]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_the_bootstrap_holds_the_mean_in_19_of_20_cases():
    rng = np.random.default_rng(0)
    draws = rng.exponential(2.0, (300, 20, 10)).mean(axis=2)  # blocks of 10 losses
    held = [low <= 2.0 <= high for low, high in (bootstrap(float(row.mean()), row) for row in draws)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.04)


def test_the_bootstrap_is_of_blocks_that_are_known():
    blocks = [1.0, 3.0, math.nan, 2.0]
    low, high = bootstrap(2.0, blocks)
    assert low < 2.0 < high
    assert bootstrap(2.0, [1.0, 3.0, 2.0]) == (low, high)
    assert bootstrap(2.0, [math.nan, 2.0]) is None
    assert bootstrap(0.5, [0.5] * 20) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "value", "targets", "outputs", "expected"),
    [
        ("accuracy", 0.9475, (400,), (400, 10), True),
        ("accuracy", 0.9475, (400, 1), (400, 1), True),
        ("accuracy", 0.9475, (400, 10), (400, 10), True),  # one-hot
        ("head_acc", 0.97, (100_000,), (100_000, 10), True),
        ("sparse_categorical_accuracy", float(np.float32(379 / 400)), (400,), (400, 10), True),
        ("accuracy", 0.9475, (400, 64), (400, 64, 10), False),  # several answers each
        ("accuracy", 0.9475, (400, 8, 8), (400, 8, 8, 2), False),
        ("binary_accuracy", 0.9475, (400, 10), (400, 10), False),
        ("accuracy", 0.94751, (400,), (400, 10), False),
        ("auc", 0.9475, (400,), (400, 10), False),
        ("mean_squared_error", 3.0, (400,), (400, 1), False),
    ],
)
def test_what_is_an_accuracy(name, value, targets, outputs, expected):
    given = [np.broadcast_to(np.int8(0), shape) for shape in (targets, outputs)]
    assert is_accuracy(name, value, *given) is expected


def measured(targets, metric, weights=None, classes=3, loss="mse"):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(classes, name="output")])
    model.compile("sgd", loss, metrics=[metric])
    x = np.random.default_rng(0).normal(size=(120, 4)).astype("float32")
    data = (x, targets) if weights is None else (x, targets, weights)
    running = copy_to_measure(model)[1]
    evaluation = Evaluation(running, model, data)
    outputs = model.predict(x, verbose=0)
    value = evaluation.of_outputs(running, outputs)
    return evaluation, running, outputs, value, confidence_interval(evaluation, running, outputs, value)


@CORE
def test_the_interval_of_an_accuracy():
    labels = np.random.default_rng(1).integers(0, 3, 120)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    _, _, _, value, interval = measured(labels, "accuracy", loss=loss)
    assert interval == pytest.approx(wilson(value, 120), abs=1e-6)
    weighted = measured(labels, keras.metrics.SparseCategoricalAccuracy(), np.ones(120), loss=loss)[-1]
    assert weighted != pytest.approx(wilson(value, 120), abs=1e-6)  # weights: no count of samples


@CORE
def test_the_interval_of_a_loss():
    targets = np.random.default_rng(1).normal(size=(120, 3))
    evaluation, running, outputs, value, (low, high) = measured(targets, "mse")
    errors = np.mean((outputs - targets) ** 2, axis=1)
    assert evaluation.of_parts(running, outputs, 20) == pytest.approx(errors.reshape(20, 6).mean(1), rel=1e-4)
    assert low < value < high
    assert high - low == pytest.approx(2 * 1.96 * errors.std(ddof=1) / math.sqrt(120), rel=0.35)
    assert confidence_interval(evaluation, running, outputs, math.nan) is None
    assert len(evaluation.of_parts(running, outputs, 500)) == 120
