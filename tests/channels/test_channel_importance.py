"""Importance of channels: each criterion against an oracle that computes it otherwise."""

import keras
import numpy as np
import pytest
from keras import layers
from support.channel_zoo import batch, gate, nested, outputs, randomise, recurrent, residual, shared, zeroed
from support.importance_oracles import OF_DATA, filters, mlp, raw, scores, targets, values
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.channels import ChannelImportance, ChannelPlan
from keras_prune.channels.statistics import ChannelStatistics


def test_norms_against_loops():
    model = residual()
    rows = filters(values(model.get_layer("narrow0").kernel))
    assert np.allclose(scores(model, raw("l1"))["narrow0"], [np.abs(row).sum() for row in rows])
    assert np.allclose(scores(model, raw("l2"))["narrow0"], [np.linalg.norm(row) for row in rows])


def test_fpgm_against_loops():
    model = residual()
    rows = filters(values(model.get_layer("narrow1").kernel))
    expected = [sum(np.linalg.norm(one - other) for other in rows) for one in rows]
    assert np.allclose(scores(model, raw("fpgm"))["narrow1"], expected)


def test_fpgm_drops_the_filter_between_the_others():
    model = mlp((3,), inputs=2)
    model.get_layer("dense0").kernel.assign([[10, 5, 0], [10, 5, 0]])
    assert scores(model, "fpgm")["dense0"].argmin() == 1
    assert scores(model, "l2")["dense0"].argmin() == 2


def test_lamp_against_loops():
    model = residual()
    rows = filters(values(model.get_layer("narrow0").kernel))
    expected = []
    for row in rows:
        larger = sum(other @ other for other in rows if other @ other >= row @ row)
        expected.append(row @ row / larger)
    found = scores(model, "lamp")["narrow0"]
    assert np.allclose(found, expected)
    assert found.max() == 1


def test_lamp_of_zero_filters_is_zero():
    model = mlp((3,))
    model.get_layer("dense0").kernel.assign(np.zeros((3, 3)))
    assert scores(model, raw("lamp"))["dense0"].tolist() == [0, 0, 0]


def loss_of(model, x, y):
    model.compile(loss="mse", jit_compile=BACKEND == "jax")
    return model.test_on_batch(x, y)


def loss_at(copy, twins, readers, channel, factor, data):
    """The loss with the weights that read a channel times `factor`; the copy is mended afterwards."""
    before = {id(member.weight): values(twins[id(member.weight)]) for member in readers}
    changed = {key: kernel.copy() for key, kernel in before.items()}
    for member in readers:
        np.moveaxis(changed[id(member.weight)], member.axis, 0)[member.labels == channel] *= factor
    for key, kernel in changed.items():
        twins[key].assign(kernel)
    copy.reset_metrics()  # before Keras 3.15 the loss is a mean over all calls so far
    loss = float(copy.test_on_batch(*data))
    for key, kernel in before.items():
        twins[key].assign(kernel)
    return loss


@pytest.fixture
def float64():
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(before)  # else Keras goes on with the one that was made meanwhile


@pytest.mark.parametrize("build", [residual, gate, shared, nested, recurrent], ids=lambda build: build.__name__)
def test_effects_are_the_slope_of_the_loss_in_the_size_of_a_channel(build, float64):
    model = randomise(build())
    x = batch(model, 4)
    y = targets(model, x)
    analysis = kp.analyze_channels(model)
    statistics = ChannelStatistics(analysis, model, (x, y), "mse")
    copy = kp.strip_pruning(model)
    copy.compile(loss="mse", jit_compile=False)
    twins = {id(old): new for old, new in zip(model.weights, copy.weights, strict=True)}
    step = 1e-5
    for group in analysis.groups:
        if group.frozen:
            continue
        readers = [member for member in group.members if member.role == "in"]
        for channel in group.channels[[0, -1]]:
            losses = [loss_at(copy, twins, readers, channel, 1 + sign * step, (x, y)) for sign in (1, -1)]
            slope = (losses[0] - losses[1]) / (2 * step)
            for member in group.members:
                for effect in statistics.effects(member)[:, member.labels == channel].ravel():
                    assert abs(effect - slope) <= 1e-6 * max(1, abs(slope)), (group.name, channel)


def by_hand(model, x, y):
    """Loss gradients of the first layer's channels of `mlp((n,))`, each sample alone: y·dJ/dy in NumPy."""
    first, out = model.get_layer("dense0"), model.get_layer("out")
    hidden = np.maximum(x @ values(first.kernel) + values(first.bias), 0)
    error = hidden @ values(out.kernel) + values(out.bias) - y
    return hidden * (2 * error / y.shape[1] @ values(out.kernel).T)


@pytest.mark.core
def test_taylor_and_fisher_against_backpropagation_by_hand():
    model = mlp((6,))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)).astype("float32"), rng.normal(size=(12, 2)).astype("float32")
    batches = [(x[start : start + 4], y[start : start + 4]) for start in (0, 4, 8)]
    means = by_hand(model, x, y).reshape(3, 4, 6).mean(axis=1)
    assert np.allclose(scores(model, "taylor", batches, "mse")["dense0"], np.abs(means).mean(axis=0), rtol=1e-4)
    assert np.allclose(scores(model, "fisher", batches, "mse")["dense0"], (means**2).mean(axis=0) / 2, rtol=1e-4)
    singles = [(x[index : index + 1], y[index : index + 1]) for index in range(12)]
    assert np.allclose(
        scores(model, "fisher", singles, "mse")["dense0"], (by_hand(model, x, y) ** 2).mean(axis=0) / 2, rtol=1e-4
    )


@pytest.mark.core
def test_activations_against_a_submodel():
    model = randomise(residual())
    x = batch(model, 40)  # two batches, of 32 and 8
    relu = model.get_layer("wide0").input
    read = outputs(keras.Model(model.input, relu), x)[0]
    assert np.allclose(
        scores(model, raw("mean_activation"), x)["narrow0"], np.abs(read).mean(axis=(0, 1, 2)), rtol=1e-4
    )
    assert np.allclose(scores(model, "apoz", x)["narrow0"], (read > 0).mean(axis=(0, 1, 2)), rtol=1e-4)
    product = np.abs(read).mean(axis=(0, 1, 2)) * np.abs(values(model.get_layer("wide0").kernel)).sum(axis=(0, 1, 3))
    assert np.allclose(scores(model, raw("activation_weight"), x)["narrow0"], product, rtol=1e-4)


def test_entropy_against_a_submodel():
    model = randomise(residual())
    x = batch(model, 40)
    means = outputs(keras.Model(model.input, model.get_layer("wide0").input), x)[0].mean(axis=(1, 2))
    expected = []
    for column in means.T:
        share = np.histogram(column, 32)[0] / len(column)
        expected.append(-sum(each * np.log(each) for each in share if each > 0))
    assert np.allclose(scores(model, "entropy", x)["narrow0"], expected, rtol=1e-3, atol=1e-3)


def test_every_reader_of_a_channel_counts():
    model = randomise(residual())
    x = batch(model, 8)
    names = ["narrow0", "narrow1", "out"]
    read = outputs(keras.Model(model.input, [model.get_layer(name).input for name in names]), x)
    means = [np.abs(each).mean(axis=tuple(range(each.ndim - 1))) for each in read]
    for combine, function, normalize, scale in (
        ("mean", np.mean, "none", lambda each: 1),
        ("sum", np.sum, "max", np.max),
        ("max", np.max, "mean", np.mean),
    ):
        found = scores(model, ChannelImportance("mean_activation", combine, normalize), x)["stem"]
        assert np.allclose(found, function([each / scale(each) for each in means], axis=0), rtol=1e-4)


def flat():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
    return randomise(keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x))))


def test_behind_a_flatten_each_position_meets_its_own_weights():
    model = flat()
    x = batch(model, 8)
    read = np.abs(outputs(keras.Model(model.input, model.get_layer("out").input), x)[0]).mean(axis=0)
    products = read * np.abs(values(model.get_layer("out").kernel)).sum(axis=1)
    found = scores(model, raw("activation_weight"), x)["conv"]
    assert np.allclose(found, products.reshape(4, 3).mean(axis=0), rtol=1e-4)


def test_a_recurrent_layer_reads_what_it_made():
    inputs = keras.Input((5, 2))
    x = layers.LSTM(4, return_sequences=True, name="lstm")(inputs)
    model = randomise(keras.Model(inputs, layers.GlobalMaxPooling1D()(x)))
    model = keras.Model(inputs, layers.Dense(2, name="out")(model.output))
    x = batch(model, 8)
    made, pooled = outputs(keras.Model(model.input, [model.get_layer("lstm").output, model.get_layer("out").input]), x)
    expected = (np.abs(made).mean(axis=(0, 1)) + np.abs(pooled).mean(axis=0)) / 2
    assert np.allclose(scores(model, raw("mean_activation"), x)["lstm"], expected, rtol=1e-4)


def test_inside_a_nested_model_and_of_a_shared_layer():
    model = randomise(nested())
    x = batch(model, 8)
    found = scores(model, raw("mean_activation"), x)
    inner = model.get_layer("inner")
    stem = outputs(keras.Model(model.input, model.get_layer("stem").output), x)[0]
    dense = keras.Model(inner.input, inner.get_layer("dense").output)
    added = stem + outputs(inner, stem.astype("float32"))[0]
    reads = [np.abs(outputs(dense, each.astype("float32"))[0]).mean(axis=0) for each in (stem, np.sin(added))]
    assert np.allclose(found["inner/dense"], np.mean(reads, axis=0), rtol=1e-4)


@pytest.mark.core
def test_loss_change_against_zeroing():
    model = randomise(nested())
    x = batch(model, 8)
    y = targets(model, x)
    analysis = kp.analyze_channels(model)
    found = scores(model, "loss_change", (x, y), "mse")
    before = float(loss_of(kp.strip_pruning(model), x, y))
    for group in analysis.groups[:2]:
        for place in range(0, group.size, 3):
            plan = ChannelPlan(analysis.fingerprint, {group.name: (place,)})
            change = abs(float(loss_of(zeroed(model, plan), x, y)) - before)
            assert abs(found[group.name][place] - change) <= 1e-5 * max(1, before)


def test_loss_change_weighs_batches_by_their_samples():
    model = mlp((4,))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    uneven = scores(model, "loss_change", (x, y), "mse")["dense0"]  # batches of 32 and 8
    assert np.allclose(uneven, scores(model, "loss_change", [(x, y)], "mse")["dense0"], rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def planted():
    """A trained network with four dead channels among the others, of the largest weights of all."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(256, 8, 8, 1)).astype("float32")
    quarter = np.abs(x).reshape(256, 2, 4, 2, 4).sum(axis=(2, 4)).reshape(256, 4)
    y = quarter.argmax(axis=1)
    inputs = keras.Input((8, 8, 1))
    z = layers.Conv2D(12, 3, activation="relu", bias_initializer="ones", name="conv")(inputs)
    z = layers.Flatten()(layers.AveragePooling2D(3)(z))
    z = layers.Dense(16, activation="softplus", name="dense")(z)  # of which none dies in training
    model = keras.Model(inputs, layers.Dense(4, activation="softmax", name="out")(z))
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=15, verbose=0)
    dead = {"conv": (1, 4, 5, 10), "dense": (0, 3, 8, 15)}
    for name, places in dead.items():
        layer = model.get_layer(name)
        kernel, bias = values(layer.kernel), values(layer.bias)
        kernel[..., places] = 10 * np.sign(kernel[..., places])
        bias[list(places)] = -1e4
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)
    return model, x, y, dead


@pytest.mark.parametrize("importance", OF_DATA)
def test_useless_channels_go(planted, importance):
    model, x, y, dead = planted
    ratios = {"conv": 4 / 12, "dense": 4 / 16}
    result = kp.prune_channels(model, ratios=ratios, importance=importance, data=(x, y))
    assert result.plan.removed == dead
    assert kp.prune_channels(model, ratios=ratios, importance="l2").plan.removed != dead
    assert np.allclose(outputs(result.model, x[:8])[0], outputs(model, x[:8])[0], atol=1e-5)


@pytest.mark.parametrize("importance", ["activation_weight", "taylor", "fisher", "loss_change"])
def test_channels_that_nobody_reads_go(planted, importance):
    model, x, y, _ = planted
    model = kp.strip_pruning(model)
    kernel = values(model.get_layer("out").kernel)
    kernel[[2, 4, 9]] = 0
    model.get_layer("out").kernel.assign(kernel)
    loss = "sparse_categorical_crossentropy"
    importance = ChannelImportance(importance)
    result = kp.prune_channels(model, ratios={"dense": 7 / 16}, importance=importance, data=(x, y), loss=loss)
    assert result.plan.removed == {"dense": (0, 2, 3, 4, 8, 9, 15)}


def noisy():
    inputs = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(6, name="first", kernel_regularizer="l2")(inputs))
    x = layers.Dropout(0.5)(layers.Dense(5, activation="relu", name="second", activity_regularizer="l2")(x))
    return randomise(keras.Model(inputs, layers.Dense(2, name="out")(layers.GaussianNoise(1.0)(x))))


@pytest.mark.parametrize("importance", OF_DATA)
def test_measured_as_in_inference_and_without_regularisation(importance):
    model = noisy()
    x = batch(model, 16)
    y = targets(model, x)
    found = scores(model, importance, (x, y), "mse")
    assert all(np.array_equal(found[name], again) for name, again in scores(model, importance, (x, y), "mse").items())
    plain = layers.Dropout(0.0)
    inputs = keras.Input((4,))
    z = layers.BatchNormalization()(layers.Dense(6, name="first")(inputs))
    z = plain(layers.Dense(5, activation="relu", name="second")(z))
    quiet = keras.Model(inputs, layers.Dense(2, name="out")(z))
    quiet.set_weights(
        [weight for weight in model.get_weights() if weight.dtype.kind == "f"][: len(quiet.get_weights())]
    )
    for name, expected in scores(quiet, importance, (x, y), "mse").items():
        assert np.allclose(found[name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.core
def test_the_model_stays_as_it_was():
    inputs = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(6, name="first")(inputs))
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(layers.Dropout(0.5)(x))))
    model.get_layer("first").trainable = False
    model.compile("adam", "mse", metrics=["mae"])
    x = batch(model, 16)
    y = targets(model, x)
    model.train_on_batch(x, y)
    state = [values(variable) for variable in [*model.variables, *model.optimizer.variables]]
    kept = model.optimizer, model.loss, model.train_function
    for importance in ("taylor", "loss_change", "mean_activation"):
        kp.prune_channels(model, 0.5, importance=importance, data=(x, y))
    after = [values(variable) for variable in [*model.variables, *model.optimizer.variables]]
    assert all(np.array_equal(old, new) for old, new in zip(state, after, strict=True))
    assert kept[0] is model.optimizer
    assert kept[1:] == (model.loss, model.train_function)
    assert [layer.trainable for layer in model.layers] == [True, False, True, True, True]
    assert all(layer.output is not None for layer in model.layers)  # Keras raises where a layer was called twice
    model.train_on_batch(x, y)


def test_a_function_of_the_users_may_have_statistics():
    model = mlp((6,))
    x = batch(model, 16)

    def steady(binding, statistics, power=2):
        samples = statistics.samples(binding)
        return None if samples is None else samples.std(axis=0) ** power

    hidden = outputs(keras.Model(model.input, model.get_layer("dense0").output), x)[0]
    assert np.allclose(scores(model, raw(steady), x)["dense0"], hidden.std(axis=0) ** 2, rtol=1e-3)

    def plain(binding, power=2):
        return np.arange(len(binding.labels)) ** power if binding.makes else None

    assert scores(model, raw(plain))["dense0"].tolist() == [0, 1, 4, 9, 16, 25]


def test_channels_of_which_nothing_is_said_are_ordered_by_their_norm():
    model = mlp((4, 4))
    model.get_layer("dense0").kernel.assign(np.array([[1, 2, 3, 4]] * 3))

    def some(binding):
        return np.array([10.0, 20.0, 30.0, 40.0]) if binding.layer == "dense1" and binding.makes else None

    found = scores(model, raw(some))
    assert found["dense1"].tolist() == [10, 20, 30, 40]
    assert np.allclose(found["dense0"], [0.4, 0.8, 1.2, 1.6])


def test_heads_are_ordered_by_their_norm_where_activations_are_not_seen():
    tokens = keras.Input((5, 8))
    y = layers.MultiHeadAttention(4, 2, name="attention")(tokens, tokens)
    model = randomise(keras.Model(tokens, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(y))))
    x = batch(model, 8)
    heads = "attention:num_heads"
    assert np.array_equal(scores(model, "apoz", x)[heads], scores(model, "l2")[heads])
    assert not np.allclose(scores(model, "taylor", (x, targets(model, x)), "mse")[heads], scores(model, "l2")[heads])
