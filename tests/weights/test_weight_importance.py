"""Criteria for single weights, each against an independent oracle: finite differences, NumPy, explicit zeroing."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.zoo import BACKEND, Subclassed

import keras_prune as kp
from keras_prune import importance as importances
from keras_prune.importance.registry import names
from keras_prune.masking.masked_weights import find_masked, masked_sparsity
from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights

CRITERIA = [name for name in names("weights") if name not in ("movement", "random")]  # which have their own tests


def network():
    """Small enough to take every weight away; with what training does otherwise: dropout and batch statistics."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.Conv1D(4, 2, activation="tanh", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, name="dropout"),
            layers.GRU(3, name="gru"),
            layers.Dense(2, name="output", kernel_regularizer="l2"),
        ]
    )
    rng = np.random.default_rng(1)
    model.set_weights([value + rng.uniform(0.1, 0.3, value.shape) for value in model.get_weights()])
    return model


@pytest.fixture
def data(rng):
    return rng.normal(size=(50, 5, 3)).astype("float32"), rng.normal(size=(50, 2)).astype("float32")


def units(model):
    return {masked.path: SingleWeights(masked) for masked in find_masked(model)}


def score(name, model, data=None, loss=None):
    statistics = ModelStatistics(model, data, loss)
    return {path: importances.weight_scorer(name)(unit, statistics) for path, unit in units(model).items()}


def batches(data):
    return [tuple(part[start : start + 32] for part in data) for start in (0, 32)]


def mean_squares(model, x, y):
    outputs = ops.convert_to_numpy(model(x, training=False))
    return float(np.mean(np.square(outputs.astype("float64") - y)))


def finite_differences(model, weight, x, y):
    """The gradient of the mean squared error, by moving each entry of a weight."""
    values = np.array(ops.convert_to_numpy(weight.value))
    found = np.zeros(values.shape)
    for index in np.ndindex(values.shape):
        sides = []
        for step in (1e-2, -1e-2):
            moved = values.copy()
            moved[index] += step
            weight.assign(moved)
            sides.append(mean_squares(model, x, y))
        found[index] = (sides[0] - sides[1]) / 2e-2
    weight.assign(values)
    return found


@pytest.mark.core
def test_gradient_criteria_are_those_of_finite_differences(data):
    model = kp.wrap_pruning(network())
    masked = {each.path: each for each in find_masked(model)}
    parts = batches(data)
    statistics = ModelStatistics(model, data, "mse")
    for path in ("conv/kernel", "gru/gru_cell/kernel", "output/kernel"):
        weight = masked[path].weight
        gradients = np.stack([finite_differences(model, weight, *part) for part in parts])
        effects = gradients * ops.convert_to_numpy(weight.value)
        expected = {
            "gradient": np.abs(gradients).mean(axis=0),
            "taylor": np.abs(effects).mean(axis=0),
            "fisher": np.square(effects).mean(axis=0) / 2,
            "snip": np.abs(effects.mean(axis=0)),
        }
        for name, wanted in expected.items():
            found = importances.weight_scorer(name)(SingleWeights(masked[path]), statistics)
            np.testing.assert_allclose(found, wanted, rtol=2e-2, atol=2e-4, err_msg=f"{name} of {path}")


@pytest.mark.core
def test_what_weights_read_is_what_numpy_computes(data):
    model = network()
    x, _ = data
    wrapped = kp.wrap_pruning(model)
    inner = keras.Model(model.inputs, [model.get_layer("norm").output])
    normed = ops.convert_to_numpy(inner(x, training=False))
    states = keras.Sequential([keras.Input((4, 4)), layers.GRU(3, return_sequences=True, name="gru")])
    states.set_weights(model.get_layer("gru").get_weights())
    sequence = ops.convert_to_numpy(states(normed))
    before = np.concatenate([np.zeros((50, 1, 3)), sequence[:, :-1]], axis=1)
    reads = {
        "conv/kernel": x,
        "gru/gru_cell/kernel": normed,
        "gru/gru_cell/recurrent_kernel": before,
        "output/kernel": sequence[:, -1],
    }
    found = {name: score(name, wrapped, x) for name in ("wanda", "activation_weight", "mean_activation", "apoz")}
    for path, unit in units(wrapped).items():
        values = np.abs(unit.values)
        flat = reads[path].reshape(-1, reads[path].shape[-1]).astype("float64")
        spread = lambda row, values=values: np.broadcast_to(row[:, None], values.shape)  # noqa: E731
        norm, magnitude = np.sqrt(np.square(flat).mean(axis=0)), np.abs(flat).mean(axis=0)
        np.testing.assert_allclose(found["wanda"][path], spread(norm) * values, rtol=1e-4)
        np.testing.assert_allclose(found["activation_weight"][path], spread(magnitude) * values, rtol=1e-4)
        on = (flat > 0).mean(axis=0)
        relative = spread(magnitude / magnitude.mean()) * values
        np.testing.assert_allclose(found["mean_activation"][path], relative, rtol=1e-4)
        np.testing.assert_allclose(found["apoz"][path], spread(on / on.mean()) * values, rtol=1e-4)


def test_inputs_in_attention_embeddings_separable_and_two_axes_are_seen(rng):
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    x = layers.Embedding(7, 8, name="embedding")(tokens)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.SeparableConv1D(5, 3, name="separable")(x)
    x = layers.DepthwiseConv1D(3, name="depthwise")(x)
    model = kp.wrap_pruning(keras.Model(tokens, layers.Dense(2, name="output")(layers.Flatten()(x))))
    data = rng.integers(0, 6, (40, 6))  # the token 6 is never read
    found = score("wanda", model, data)
    values = {path: unit.values for path, unit in units(model).items()}
    frequency = np.sqrt([np.square((data == token).mean(axis=1)).mean() for token in range(7)])
    np.testing.assert_allclose(
        found["embedding/embeddings"], np.abs(values["embedding/embeddings"]) * frequency[:, None], rtol=1e-4
    )
    assert not found["embedding/embeddings"][6].any()
    embedded = values["embedding/embeddings"][data]
    norm = np.sqrt(np.square(embedded).mean(axis=(0, 1)))
    query = values["attention/query/kernel"]
    np.testing.assert_allclose(found["attention/query/kernel"], np.abs(query) * norm[:, None, None], rtol=1e-4)
    assert found["attention/attention_output/kernel"].shape == (2, 4, 8)
    read = ops.convert_to_numpy(keras.Model(model.inputs, model.get_layer("attention").output)(data))
    depthwise = ops.convert_to_numpy(
        ops.depthwise_conv(read, values["separable/depthwise_kernel"], padding="valid", data_format="channels_last")
    )
    norm = np.sqrt(np.square(depthwise).mean(axis=(0, 1)))
    pointwise = values["separable/pointwise_kernel"]
    np.testing.assert_allclose(found["separable/pointwise_kernel"], np.abs(pointwise) * norm[:, None], rtol=1e-3)


def test_both_directions_and_convolutional_states_are_seen(rng):
    inputs = keras.Input((4, 5, 5, 2), name="video")
    x = layers.ConvLSTM2D(3, 2, padding="same", return_sequences=True, name="video_states")(inputs)
    x = layers.Reshape((4, 75))(x)
    model = keras.Model(inputs, layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")(x))
    data = rng.normal(size=(6, 4, 5, 5, 2)).astype("float32")
    wrapped = kp.wrap_pruning(model)
    found = score("wanda", wrapped, data)
    values = {path: np.abs(unit.values) for path, unit in units(wrapped).items()}
    states = ops.convert_to_numpy(keras.Model(inputs, model.get_layer("video_states").output)(data))
    before = np.concatenate([np.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
    read = states.reshape(-1, 75)
    forward = ops.convert_to_numpy(model(data))[..., :3]
    memory = np.concatenate([np.zeros_like(forward[:, :1]), forward[:, :-1]], axis=1)
    expected = {
        "video_states/kernel": (data, (2, 1)),
        "video_states/recurrent_kernel": (before, (3, 1)),
        "both/forward_lstm/lstm_cell/kernel": (read, (75, 1)),
        "both/backward_lstm/lstm_cell/kernel": (read, (75, 1)),
        "both/forward_lstm/lstm_cell/recurrent_kernel": (memory, (3, 1)),
    }
    for path, (array, shape) in expected.items():
        norm = np.sqrt(np.square(array.reshape(-1, array.shape[-1]).astype("float64")).mean(axis=0)).reshape(shape)
        np.testing.assert_allclose(found[path], values[path] * norm, rtol=1e-3, err_msg=path)


def test_entropy_tells_steady_inputs_from_varied_ones(rng):
    x = rng.normal(size=(400, 3)).astype("float32")
    x[:, 1] = 0.7  # says nothing
    x[:, 2] = np.where(x[:, 2] > 0, 1.0, -1.0)  # a bit: log 2
    model = kp.wrap_pruning(keras.Sequential([keras.Input((3,)), layers.Dense(4, name="dense")]))
    weights = np.abs(units(model)["dense/kernel"].values)
    found = score("entropy", model, x)["dense/kernel"] / weights
    assert (found[1] == 0).all()
    np.testing.assert_allclose(found[2] / found[0], found[2, 0] / found[0, 0], rtol=1e-5)
    np.testing.assert_allclose(found.mean(), 1, rtol=1e-5)  # relative to what the layer reads
    assert (found[0] > 2 / np.log(2) * 0.98 * found[2]).all()  # more than 2 nats against a bit


def test_loss_change_is_the_loss_with_a_zero(data):
    model = kp.wrap_pruning(network())
    masked = {each.path: each for each in find_masked(model)}
    found = score("loss_change", model, data, "mse")["output/kernel"]
    weight = masked["output/kernel"].weight
    values = np.array(ops.convert_to_numpy(weight.value))
    before = mean_squares(model, *data)
    for index in np.ndindex(values.shape):
        without = values.copy()
        without[index] = 0
        weight.assign(without)
        assert found[index] == pytest.approx(abs(mean_squares(model, *data) - before), rel=1e-2, abs=1e-5)
    weight.assign(values)


def test_lamp_is_the_papers_formula(rng):
    model = kp.wrap_pruning(keras.Sequential([keras.Input((4,)), layers.Dense(3, name="dense")]))
    squares = np.square(units(model)["dense/kernel"].values.astype("float64"))
    expected = np.array([[value / squares[squares >= value].sum() for value in row] for row in squares])
    np.testing.assert_allclose(score("lamp", model)["dense/kernel"], expected, rtol=1e-5)


@pytest.mark.core
@pytest.mark.parametrize("name", CRITERIA)
def test_prune_weights_keeps_the_highest_scores_and_leaves_the_model_unchanged(name, data):
    model = network()
    model.compile("sgd", "mse")
    before = [np.array(value) for value in model.get_weights()]
    pruned = kp.prune_weights(model, 0.5, importance=name, data=data)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    scores = score(name, kp.wrap_pruning(model), data, "mse")
    for masked in find_masked(pruned):
        kept, rank = masked.kept(), scores[masked.path]
        assert kept.sum() == round(kept.size / 2)
        assert rank[kept].min() >= rank[~kept].max() * (1 - 1e-4) - 1e-7


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("taylor", False),
        ("gradient", False),
        ("loss_change", False),
        ("wanda", False),
        ("taylor", True),
        ("gradient", True),
    ],
)
def test_scores_that_are_ranked_over_all_layers_stay_what_was_measured(name, own, data):
    model = network()
    measured = score(name, kp.wrap_pruning(model), data, "mse")
    scaled = {path: each / np.abs(each).mean() for path, each in measured.items()}
    cut = np.sort(np.concatenate([each.ravel() for each in scaled.values()]))
    threshold = cut[len(cut) - round(len(cut) * 0.4)]

    def lent(weight, statistics):  # returns what it was lent
        functions = {"taylor": statistics.mean_effect, "gradient": statistics.mean_gradient}
        return functions[name](np.abs)

    selection = kp.Percentile("global", normalize="mean")
    importance = lent if own else name
    pruned = kp.prune_weights(model, 0.6, selection=selection, importance=importance, data=data, loss="mse")
    for masked in find_masked(pruned):
        clear = np.abs(scaled[masked.path] / threshold - 1) > 1e-3  # rounding decides at the threshold itself
        expected = scaled[masked.path] > threshold
        np.testing.assert_array_equal(masked.kept()[clear], expected[clear])


def test_functions_of_users_get_arrays_of_the_weights_shape(data):
    seen = {}

    def own(weight, statistics):
        seen[weight.shape] = statistics.activations().norm.shape
        return statistics.mean_effect(np.abs)

    a = kp.prune_weights(network(), 0.5, importance=own, data=data, loss="mse")
    b = kp.prune_weights(network(), 0.5, importance="taylor", data=data, loss="mse")
    assert set(seen) == set(seen.values()) == {tuple(m.weight.shape) for m in find_masked(a)}
    for mine, theirs in zip(find_masked(a), find_masked(b), strict=True):
        np.testing.assert_array_equal(mine.kept(), theirs.kept())


def test_bad_input_is_named_and_changes_nothing(data):
    model = network()
    with pytest.raises(ValueError, match=r"'magnitude'.*'wanda'.*Received: importance='wonder'"):
        kp.prune_weights(model, 0.5, importance="wonder")
    with pytest.raises(ValueError, match=r"pass `data`\. Received: importance='wanda'"):
        kp.prune_weights(model, 0.5, importance="wanda")
    with pytest.raises(ValueError, match="needs a loss"):
        kp.prune_weights(model, 0.5, importance="taylor", data=data)
    with pytest.raises(ValueError, match="targets: pass"):
        kp.prune_weights(model, 0.5, importance="taylor", data=data[0], loss="mse")
    with pytest.raises(ValueError, match="does not fit"):
        kp.prune_weights(model, 0.5, importance="wanda", data=np.zeros((4, 9), "float32"))
    with pytest.raises(ValueError, match="finite"):
        kp.prune_weights(model, 0.5, importance="wanda", data=np.full((4, 5, 3), np.nan, "float32"))
    with pytest.raises(ValueError, match="movement=True"):
        kp.prune_weights(model, 0.5, importance="movement")
    subclassed = Subclassed()
    subclassed(np.zeros((1, 6), "float32"))
    with pytest.raises(ValueError, match="needs a loss"):
        kp.prune_weights(subclassed, 0.5, importance="taylor", data=(np.zeros((4, 6)), np.zeros((4, 3))))
    assert not find_masked(subclassed)


@pytest.mark.core
def test_what_layers_in_time_distributed_read_is_that_of_all_steps(rng):
    steps = rng.normal(size=(6, 3, 7, 4)).astype("float32")
    for make in (
        lambda: layers.Conv1D(5, 2, use_bias=False),
        lambda: layers.SeparableConv1D(5, 2, use_bias=False),
        lambda: layers.Dense(2, use_bias=False),
    ):
        plain = keras.Sequential([keras.Input((7, 4)), make()])
        stepwise = keras.Sequential([keras.Input((3, 7, 4)), layers.TimeDistributed(make())])
        stepwise.set_weights(plain.get_weights())
        for name in ("wanda", "mean_activation", "apoz"):
            # One step is as good as one sample: neither matters to a mean over both.
            flat = score(name, kp.wrap_pruning(plain), steps.reshape(18, 7, 4))
            found = score(name, kp.wrap_pruning(stepwise), steps)
            for expected, scores in zip(flat.values(), found.values(), strict=True):
                np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.core
def test_subclassed_models_are_measured_on_a_copy(rng):
    x, y = rng.normal(size=(40, 6)).astype("float32"), rng.normal(size=(40, 3)).astype("float32")
    for name in ("wanda", "taylor"):
        model = Subclassed()
        model(x[:1])
        model.compile("sgd", "mse")
        pruned = kp.prune_weights(model, 0.5, importance=name, data=(x, y))
        assert pruned is model
        assert masked_sparsity(find_masked(pruned)) == pytest.approx(0.5, abs=0.02)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the other backends compute the same numbers")
def test_channels_can_be_scored_by_wanda_and_snip(rng):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu", name="hidden"), layers.Dense(3, name="out")])
    x, y = rng.normal(size=(64, 6)).astype("float32"), rng.normal(size=(64, 3)).astype("float32")
    hidden = np.maximum(x @ np.array(model.get_layer("hidden").kernel) + np.array(model.get_layer("hidden").bias), 0)
    weights = np.abs(np.array(model.get_layer("out").kernel)).sum(axis=1)
    scores = np.sqrt(np.square(hidden).mean(axis=0)) * weights
    small = kp.prune_channels(model, 0.5, importance="wanda", data=x).model
    kept = np.sort(np.argsort(scores)[4:])
    np.testing.assert_allclose(
        np.array(small.get_layer("hidden").kernel), np.array(model.get_layer("hidden").kernel)[:, kept]
    )
    assert kp.prune_channels(model, 0.5, importance="snip", data=(x, y), loss="mse").model.count_params() < 60


@pytest.mark.core
@pytest.mark.parametrize("cap", [1.0, 0.92])
def test_chance_over_all_layers_keeps_exactly_what_is_asked(cap):
    model = keras.Sequential([keras.Input((49,)), layers.Dense(8), layers.Dense(10)])
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        pruned = kp.prune_weights(
            model, 0.9, importance="random", selection=kp.Percentile("global", max_layer_sparsity=cap)
        )
        assert sum(int(weight.kept().sum()) for weight in find_masked(pruned)) == round(0.1 * (49 * 8 + 80))


@pytest.mark.core
def test_constraints_do_not_change_the_weights_that_are_measured(data):
    model = kp.wrap_pruning(network())
    expected = score("gradient", model, data, "mse")
    model.get_layer("output").layer.kernel_constraint = keras.constraints.MaxNorm(0.001)  # of the copy that is measured
    found = score("gradient", model, data, "mse")
    for path, scores in expected.items():
        np.testing.assert_allclose(found[path], scores, rtol=1e-4, atol=1e-6)
