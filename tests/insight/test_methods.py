"""`compare_methods`: equal sizes, told as they are."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_prune as kp


def network():
    inputs = keras.Input((8,), name="numbers")
    x = layers.Dense(12, activation="relu", name="stem")(inputs)
    for index in range(2):
        x = layers.Add()([x, layers.Dense(12, activation="relu", name=f"branch{index}")(x)])
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="out")(x), name="small")
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 8)).astype("float32")
    return x, np.argmax(x[:, :3], axis=1)


@pytest.fixture(scope="module")
def made():
    keras.utils.set_random_seed(0)
    model, (x, y) = network(), data()
    model.fit(x, y, epochs=3, verbose=0)
    before = model.get_weights(), int(model.optimizer.iterations)
    found = kp.compare_methods(model, (x, y), (x, y), points=(0.6, 0.05), epochs=2, seed=3)
    return model, before, found


@pytest.mark.core
def test_all_methods_leave_at_most_what_was_asked(made):
    model, _, found = made
    total = model.count_params()
    assert [(point.method, point.asked) for point in found.points] == [
        ("dense", None),
        ("control", None),
        *[(method, point) for method in ("weights", "channels", "layers") for point in (0.6, 0.05)],
    ]
    weights, channels, layer = (point for point in found.points if point.asked == 0.6)
    assert channels.left == found.models["channels 0.6"].count_params() / total
    assert layer.left == found.models["layers 0.6"].count_params() / total
    # Exactly as many weights are pruned as the fraction of the parameters needs, up to one in each of four layers.
    assert 0.6 * total - 4 <= weights.left * total <= 0.6 * total + 4
    assert weights.row.parameters == total
    zeros = sum(np.sum(values == 0) for values in found.models["weights 0.6"].get_weights() if values.ndim > 1)
    assert zeros == round(total * (1 - weights.left))
    for point in (channels, layer):
        assert 0 < point.left <= 0.6
        assert point.row.parameters == round(point.left * total)


@pytest.mark.core
def test_what_cannot_be_reached_is_told(made):
    _, _, found = made
    missing = {point.name: point.reason for point in found.points if point.row is None}
    assert "no masks" in missing["weights 0.05"]  # the biases alone are more
    assert "cannot be met" in missing["layers 0.05"]
    text = str(found)
    assert all(f"{name}: {reason}" in text for name, reason in missing.items())
    assert set(found.models) == {point.name for point in found.points} - set(missing)
    records = found.records()
    assert len(records) == len(found.points)
    assert all(record.keys() == records[0].keys() for record in records)
    assert sum(line.startswith("|") for line in found.to_markdown().splitlines()) == 2 + len(records)


@pytest.mark.core
def test_the_model_stays_and_the_control_is_it_trained_on(made):
    model, (weights, steps), found = made
    assert all(np.array_equal(old, new) for old, new in zip(weights, model.get_weights(), strict=True))
    assert int(model.optimizer.iterations) == steps
    dense, control = found.points[:2]
    assert all(np.array_equal(a, b) for a, b in zip(found.models["dense"].get_weights(), weights, strict=True))
    x, y = data()
    twin = network()
    twin.set_weights(weights)
    keras.utils.set_random_seed(3)
    twin.fit(x, y, epochs=2, batch_size=32, verbose=0)
    expected = twin.evaluate(x, y, verbose=0)
    assert [control.row.scores[name] for name in ("loss", "accuracy")] == pytest.approx(expected, rel=1e-4)
    assert dense.row.scores != control.row.scores


def test_plot_has_a_line_for_each_method(made):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, _, found = made
    size = found.plot()
    labels = [line.get_label() for line in size.get_lines()]
    assert labels == list(dict.fromkeys(point.method for point in found.points if point.row is not None))
    (x,) = size.get_lines()[0].get_xdata()
    assert x == found.points[0].row.compressed_bytes
    assert size.get_ylabel() == "accuracy"
    given = plt.subplots()[1]
    assert found.plot(given, "macs") is given
    assert given.get_lines()[0].get_xdata()[0] == found.points[0].row.macs
    plt.close("all")
    with pytest.raises(ValueError, match=r"export=True.*Received: cost='latency_ms'"):
        found.plot(cost="latency_ms")
    with pytest.raises(ValueError, match="Received: cost='size'"):
        found.plot(cost="size")


def test_no_training_keeps_what_pruning_left():
    model, (x, y) = network(), data()
    found = kp.compare_methods(model, (x, y), (x, y), methods="channels", points=[0.5], epochs=0)
    expected = kp.prune_channels(model, budget=kp.Budget(params=0.5)).model
    small = found.models["channels 0.5"]
    assert all(np.array_equal(a, b) for a, b in zip(small.get_weights(), expected.get_weights(), strict=True))
    assert found.points[0].row.scores == found.points[1].row.scores


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"methods": ["neurons"]}, "neurons"),
        ({"methods": []}, r"\[\]"),
        ({"points": [1.5]}, r"\[1.5\]"),
        ({"points": [0.5, 0.5]}, r"\[0.5, 0.5\]"),
        ({"epochs": -1}, "-1"),
        ({"importance": {"neurons": "l1"}}, "neurons"),
        ({"validation_data": np.ones((4, 8))}, "ndarray"),
        ({"validation_data": (np.ones((4, 7)), np.ones(4))}, "x of shape"),
        ({"validation_data": (np.ones((4, 8)), np.ones(3))}, "x of shape"),
    ],
)
def test_wrong_arguments(arguments, received):
    x, y = data()
    given = {"validation_data": (x, y)} | arguments
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        kp.compare_methods(network(), (x, y), **given)


def test_a_model_without_loss():
    x, y = data()
    with pytest.raises(ValueError, match="Received: loss=None"):
        kp.compare_methods(kp.strip_pruning(network()), (x, y), (x, y))
