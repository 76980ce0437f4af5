"""prune_layers: which layers go, by their scores, a ratio or a budget, and what becomes of the model."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import difference, outputs, randomise
from support.depth_zoo import block, check, feed, names, nested, only_plan, recurrent, residual, transformer, values
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.layers import LayerPlan


def deep(planted=(1, 4), blocks=6, width=16):
    """Residual blocks, of which the planted ones do almost nothing."""
    inputs = keras.Input((8,))
    x = layers.Dense(width, name="stem")(inputs)
    for index in range(blocks):
        y = layers.Dense(width, activation="relu", name=f"one{index}")(x)
        start = keras.initializers.RandomNormal(stddev=1e-5) if index in planted else "glorot_uniform"
        y = layers.Dense(width, kernel_initializer=start, trainable=index not in planted, name=f"two{index}")(y)
        x = layers.Add(name=f"block{index}")([x, y])
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def data(size=256):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(size, 8)).astype("float32")
    y = np.stack([np.sin(2 * x[:, 0]) * x[:, 1], np.abs(x[:, 2]) - x[:, 3]], axis=1).astype("float32")
    return x, y


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(1)
    model = deep()
    model.compile(keras.optimizers.Adam(0.005), "mse")
    model.fit(*data(), epochs=10, verbose=0)
    return model


@pytest.mark.core
@pytest.mark.parametrize(
    "importance", ["block_influence", "activation_change", "loss_change", "l2", lambda candidate: -candidate.parameters]
)
def test_blocks_that_do_nothing_go_first(trained, importance):
    x, y = data()
    result = kp.prune_layers(trained, ratio=1 / 3, importance=importance, data=(x, y), loss="mse")
    if callable(importance):
        assert len(result.report.removed) == 6  # two branches of two layers each
        return
    assert result.plan.removed == ("block1", "block4")
    assert np.abs(result.model.predict(x, verbose=0) - trained.predict(x, verbose=0)).max() < 1e-3
    scores = {each.name: each.score for each in result.report.candidates}
    assert max(scores["block1"], scores["block4"]) < 0.1 * min(scores[f"block{index}"] for index in (0, 2, 3, 5))


def test_layers_that_do_nothing_go_first():
    model = keras.Sequential(
        [
            keras.Input((8,)),
            *(layers.Dense(8, activation="relu", name=f"layer{index}") for index in range(5)),
            layers.Dense(2, name="out"),
        ]
    )
    for index in (2, 3):
        model.get_layer(f"layer{index}").set_weights([np.eye(8), np.zeros(8)])  # after ReLU, the identity
    x, _ = data()
    y = model.predict(x, verbose=0)  # so that no layer does harm
    for importance in ("block_influence", "activation_change", "loss_change"):
        result = kp.prune_layers(model, ratio=0.4, importance=importance, data=(x, y), loss="mse")
        assert result.plan.removed == ("layer2", "layer3")
        assert difference(outputs(result.model, x), outputs(model, x)) <= 1e-6


def test_change_is_what_it_says():
    model = randomise(deep(planted=()))
    x = feed(model, 7)
    tensors = [model.get_layer("stem").output, *(model.get_layer(f"block{index}").output for index in range(6))]
    a, b = (outputs(keras.Model(model.input, tensor), x)[0] for tensor in tensors[2:4])
    cosine = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    relative = np.sqrt(((b - a) ** 2).sum(1) / (a**2).sum(1))
    for importance, expected in {"block_influence": 1 - cosine.mean(), "activation_change": relative.mean()}.items():
        for each in (x, [x[:4], x[4:]], (x, np.zeros((7, 2)))):
            report = kp.prune_layers(model, ratio=0, importance=importance, data=each).report
            score = next(row.score for row in report.candidates if row.name == "block2")
            assert score == pytest.approx(expected, rel=1e-4)


def masked_inside():
    """A mask that goes into a model."""
    sequence = keras.Input((None, 6))
    y = layers.GRU(6, return_sequences=True, name="first")(sequence)
    y = layers.GRU(6, return_sequences=True, name="second")(y)
    encoder = keras.Model(sequence, layers.SimpleRNN(6, return_sequences=True, name="third")(y), name="encoder")
    tokens = keras.Input((7,), dtype="int32")
    x = encoder(layers.Embedding(10, 6, mask_zero=True, name="embedding")(tokens))
    return keras.Model(tokens, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.parametrize("build", [nested, transformer, masked_inside], ids=lambda build: build.__name__)
def test_loss_change_is_that_of_the_pruned_model(build):
    model = randomise(build())
    x = feed(model, 6)
    y = keras.tree.map_structure(lambda tensor: np.ones((6, *tensor.shape[1:]), "float32"), model.output)
    report = kp.prune_layers(model, ratio=0, importance="loss_change", data=(x, y), loss="mse").report

    def loss(one):
        parts = zip(keras.tree.flatten(one(x)), keras.tree.flatten(y), strict=True)
        return sum(float(np.mean((ops.convert_to_numpy(made) - wanted) ** 2)) for made, wanted in parts)

    ranked = [row for row in report.candidates if row.score is not None]
    assert len(ranked) > 2
    for row in ranked:
        small = kp.prune_layers(model, plan=only_plan(model, row.name)).model
        assert row.score == pytest.approx(loss(small) - loss(model), rel=1e-3, abs=1e-5), row.name


def test_loss_is_that_of_compile_and_regularisation_does_not_count():
    inputs = keras.Input((8,))
    x = layers.Dense(6, activity_regularizer="l2", name="stem")(inputs)
    x = x + layers.Dense(6, kernel_regularizer="l2", name="branch")(x)
    model = keras.Model(inputs, {"a": layers.Dense(2, name="a")(x), "b": layers.Dense(3, name="b")(x)})
    model.compile("adam", loss={"a": "mse", "b": "mae"}, loss_weights={"a": 1.0, "b": 2.0})
    x, y = feed(model, 6), {"a": np.ones((6, 2), "float32"), "b": np.ones((6, 3), "float32")}
    kept = model.optimizer
    (row,) = kp.prune_layers(model, ratio=0, importance="loss_change", data=(x, y)).report.candidates
    assert model.optimizer is kept

    def loss(one):
        made = {name: ops.convert_to_numpy(value) for name, value in one(x).items()}
        return np.mean((made["a"] - 1) ** 2) + 2 * np.mean(np.abs(made["b"] - 1))

    assert row.score == pytest.approx(loss(kp.prune_layers(model, "branch").model) - loss(model), rel=1e-4)


@pytest.mark.parametrize("importance", ["l1", "l2"])
def test_size_of_weights_is_relative_to_that_of_new_ones(importance):
    model = residual()
    scores = {
        each.name: each.score for each in kp.prune_layers(model, ratio=0, importance=importance).report.candidates
    }
    ranked = {name: score for name, score in scores.items() if score is not None}
    assert all(0.6 < score < 1.4 for score in ranked.values()), ranked
    for weight in model.get_layer("a2").weights:
        weight.assign(weight * 0.01)
    again = {each.name: each.score for each in kp.prune_layers(model, ratio=0, importance=importance).report.candidates}
    assert again["a"] == pytest.approx(scores["a"] * 0.01 ** (1 / 3), rel=1e-4)  # one of three layers
    assert {name for name in ranked if again[name] != scores[name]} == {"a"}


def test_outputs_may_become_one_tensor(tmp_path):
    inputs = keras.Input((4,))
    x = layers.Dense(8, name="stem")(inputs)
    y = layers.Add(name="sum")([x, layers.Dense(8, name="branch")(x)])
    result = check(keras.Model(inputs, {"a": x, "b": y}), ["branch"], names="branch")
    result.model.save(tmp_path / "one.keras")
    loaded = keras.models.load_model(tmp_path / "one.keras")
    x = feed(loaded)
    assert difference(outputs(loaded, x), outputs(result.model, x)) <= 1e-6


def test_ratio_takes_the_lowest_scores():
    model = randomise(deep())
    order = [3, 0, 5, 1, 4, 2]
    score = {f"block{index}": float(rank) for rank, index in enumerate(order)}
    for ratio, count in [(0.0, 0), (0.1, 0), (0.17, 1), (0.5, 3), (0.99, 5)]:
        result = kp.prune_layers(model, ratio=ratio, importance=lambda candidate: score[candidate.name])
        assert set(result.plan.removed) == {f"block{index}" for index in order[:count]}
    same = kp.prune_layers(model, ratio=0.5, importance=lambda candidate: 1.0)
    assert same.plan.removed == ("block3", "block4", "block5")  # of equal scores the last


@pytest.mark.parametrize(
    "budget", [{"macs": 0.5}, {"params": 0.7}, {"weight_bytes": 0.6, "macs": 0.9}, {"params": 2000}]
)
def test_budgets_are_met_with_as_few_as_possible(budget):
    model = randomise(deep())
    result = kp.prune_layers(model, budget=kp.Budget(**budget))
    report, each = result.report, (16 * 16 + 16) * 2
    costs = {"macs": report.macs_after, "params": report.parameters_after, "weight_bytes": 4 * report.parameters_after}
    whole = {
        "macs": report.macs_before,
        "params": report.parameters_before,
        "weight_bytes": 4 * report.parameters_before,
    }
    one = {"macs": 2 * 256, "params": each, "weight_bytes": 4 * each}
    goals = {name: value if isinstance(value, int) else value * whole[name] for name, value in budget.items()}
    assert all(costs[name] <= goal for name, goal in goals.items())
    assert any(costs[name] + one[name] > goal for name, goal in goals.items())
    assert result.model.count_params() == report.parameters_after
    assert str(kp.Budget(**budget)) in str(report)


def test_budgets_that_cannot_be_met():
    with pytest.raises(ValueError, match=r"smallest model .* has params=178"):
        kp.prune_layers(deep(), budget=kp.Budget(params=100))
    with pytest.raises(ValueError, match="known sizes"):
        kp.prune_layers(recurrent(), budget=kp.Budget(macs=0.5))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="other backends: test_export_elsewhere.py")
def test_result_can_be_exported_and_pruned_further(tmp_path):
    tflite_export = pytest.importorskip("tflite_export")
    model = randomise(nested())
    small = kp.prune_layers(model, ["body/first", "outer"]).model
    tflite_export.export(small, tmp_path / "small.tflite")
    narrow = kp.prune_channels(small, 0.5).model
    assert narrow.count_params() < small.count_params()
    assert kp.prune_layers(narrow, ratio=0.5).model.count_params() < narrow.count_params()


@pytest.mark.core
@pytest.mark.parametrize("build", [nested, transformer], ids=lambda build: build.__name__)
def test_result_can_be_saved_trained_and_masked(build, tmp_path):
    model = randomise(build())
    x = feed(model, 8)
    small = kp.prune_layers(model, ratio=0.5).model
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    assert difference(outputs(loaded, x), outputs(small, x)) <= 1e-6
    small.compile("sgd", "mse")
    y = keras.tree.map_structure(lambda tensor: np.zeros((8, *tensor.shape[1:]), "float32"), small.output)
    small.fit(x, y, epochs=1, verbose=0)
    wrapped = kp.wrap_pruning(small)
    assert difference(outputs(wrapped, x), outputs(small, x)) <= 1e-6


def test_trainable_flags_names_and_state_stay():
    model = deep()
    result = kp.prune_layers(model, "block0")
    assert result.model.name == model.name
    assert not result.model.get_layer("two1").trainable
    assert result.model.get_layer("two2").trainable
    assert result.model.output_names == model.output_names


def test_plans_can_be_saved_and_replayed(tmp_path):
    model = randomise(nested())
    result = kp.prune_layers(model, ratio=0.5, importance="random")
    result.plan.save(tmp_path / "plan.json")
    plan = LayerPlan.load(tmp_path / "plan.json")
    assert plan == result.plan
    again = kp.prune_layers(model, plan=plan)
    assert again.plan == plan
    assert all(np.array_equal(*pair) for pair in zip(values(result.model), values(again.model), strict=True))


def test_plans_of_other_models_are_refused(tmp_path):
    model = nested()
    with pytest.raises(ValueError, match="another structure"):
        kp.prune_layers(residual(), plan=kp.prune_layers(model, ratio=0.5).plan)
    with pytest.raises(ValueError, match="does not have"):
        kp.prune_layers(model, plan=only_plan(model, "nothing"))
    two = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="a"), layers.Dense(8, name="b")])
    with pytest.raises(ValueError, match="no layer with weights"):
        kp.prune_layers(two, plan=only_plan(two, "a", "b"))
    for text in ("[1]", '{"fingerprint": "x"}', '{"fingerprint": "x", "removed_layers": "abc"}', "no"):
        (tmp_path / "no.json").write_text(text)
        with pytest.raises(ValueError, match="no layer plan"):
            LayerPlan.load(tmp_path / "no.json")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "Pass one of"),
        ({"names": "a", "ratio": 0.5}, ValueError, "Pass one of"),
        ({"ratio": 1.0}, ValueError, r"\[0, 1\)"),
        ({"ratio": -0.1}, ValueError, r"\[0, 1\)"),
        ({"ratio": "half"}, ValueError, r"\[0, 1\)"),
        ({"ratio": float("nan")}, ValueError, r"\[0, 1\)"),
        ({"names": []}, TypeError, "pattern"),
        ({"names": 3}, TypeError, "pattern"),
        ({"names": [3]}, TypeError, "pattern"),
        ({"budget": 0.5}, TypeError, "Budget"),
        ({"plan": "plan.json"}, TypeError, "LayerPlan"),
        ({"ratio": 0.5, "importance": "l3"}, ValueError, "`importance` must be one of"),
        ({"ratio": 0.5, "importance": lambda candidate: None}, ValueError, "one finite number"),
        ({"ratio": 0.5, "importance": lambda candidate: np.nan}, ValueError, "one finite number"),
        ({"ratio": 0.5, "importance": "block_influence"}, ValueError, "measured on data"),
        ({"ratio": 0.5, "importance": "loss_change", "data": np.ones((2, 8))}, ValueError, "needs a loss"),
        ({"ratio": 0.5, "importance": "block_influence", "data": np.ones((2, 9))}, ValueError, "does not fit"),
        ({"ratio": 0.5, "importance": "block_influence", "data": []}, ValueError, "no batches"),
        (
            {"ratio": 0.5, "importance": "loss_change", "loss": "mse", "data": np.ones((2, 8), "float32")},
            ValueError,
            "targets",
        ),
    ],
)
def test_bad_arguments(arguments, error, message):
    model = deep()
    before = values(model)
    with pytest.raises(error, match=message) as caught:
        kp.prune_layers(model, **arguments)
    assert "Received: " in str(caught.value)
    assert all(np.array_equal(old, new) for old, new in zip(before, values(model), strict=True))


def test_bad_models():
    with pytest.raises(TypeError, match="must be a Keras model"):
        kp.prune_layers(layers.Dense(3), ratio=0.5)
    with pytest.raises(ValueError, match="no weights yet"):
        kp.analyze_layers(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match="strip_pruning"):
        kp.prune_layers(kp.wrap_pruning(block("wrapped")), ratio=0.5)


APPLICATIONS = {  # the number of residual blocks, those with a projection included
    "ResNet50": 16,
    "ResNet50V2": 16,
    "MobileNetV2": 10,
    "EfficientNetB0": 9,
    "ConvNeXtTiny": 18,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications(name):
    model = randomise(getattr(keras.applications, name)(weights=None, classes=10, input_shape=(32, 32, 3)))
    analysis = kp.analyze_layers(model)
    branches = [each for each in analysis.ranked if each.kind == "branch"]
    assert len(branches) == APPLICATIONS[name]
    lose = branches[1::2]
    last = [[path for path in each.layers if model.get_layer(path).weights][-1] for each in lose]
    check(model, last, 1e-5, names=names(lose))
