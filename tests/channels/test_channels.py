"""prune_channels: the small model computes what the original does with zeros where removed channels are read."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import (
    CORE,
    EXACT,
    MORE,
    batch,
    check,
    difference,
    gate,
    nested,
    outputs,
    randomise,
    residual,
    shared,
    zeroed,
)

import keras_prune as kp
from keras_prune.channels import ChannelImportance, ChannelPlan

NAMES = [build.__name__ for build in EXACT]


def mlp():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu", name="first"),
            layers.Dense(10, activation="relu", name="second"),
            layers.Dense(2, name="out"),
        ]
    )


def group(analysis, name):
    return next(found for found in analysis.groups if found.name == name)


@pytest.mark.parametrize("build", [pytest.param(each, marks=pytest.mark.core) for each in CORE] + MORE, ids=NAMES)
def test_small_model_computes_what_the_zeroed_original_does(build):
    check(build())


@pytest.mark.parametrize("build", [residual, nested, shared], ids=lambda build: build.__name__)
def test_oracle_over_all_groups_together(build):
    result, _ = check(build(), 0.4, scope="global")
    assert any(found.after < found.before for found in result.report.groups)


@pytest.mark.core
def test_expected_numbers_of_channels():
    analysis = kp.analyze_channels(residual())
    assert [(found.name, found.size, bool(found.frozen)) for found in analysis.groups] == [
        ("stem", 8, False),
        ("narrow0", 6, False),
        ("narrow1", 6, False),
        ("out", 3, True),
    ]
    assert group(analysis, "stem").producers == ("stem", "wide0", "wide1")
    result = kp.prune_channels(residual(), 0.5)
    kernels = {layer.name: tuple(layer.kernel.shape) for layer in result.model.layers if hasattr(layer, "kernel")}
    assert kernels == {
        "stem": (3, 3, 3, 4),
        "narrow0": (3, 3, 4, 3),
        "wide0": (3, 3, 3, 4),
        "narrow1": (3, 3, 4, 3),
        "wide1": (3, 3, 3, 4),
        "out": (4, 3),
    }


def test_keeps_the_largest_filters_and_breaks_ties_by_position():
    model = mlp()
    first = model.get_layer("first")
    first.kernel.assign(np.ones((6, 8)) * np.array([1, 5, 5, 5, 1, 9, 5, 1]))
    result = kp.prune_channels(model, ratios={"first": 0.5})
    assert result.plan.removed == {"first": (0, 4, 6, 7)}
    kept = ops.convert_to_numpy(result.model.get_layer("first").kernel)
    assert kept[0].tolist() == [5, 5, 5, 9]
    second = ops.convert_to_numpy(model.get_layer("second").kernel)
    assert np.array_equal(ops.convert_to_numpy(result.model.get_layer("second").kernel), second[[1, 2, 3, 5]])


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ({"ratio": 0.5}, [4, 5]),
        ({"ratio": 0.0}, [8, 10]),
        ({"ratio": 0.99}, [1, 1]),
        ({"ratio": 0.99, "max_ratio": 0.5}, [4, 5]),
        ({"ratio": 0.99, "max_ratio": 0.99}, [1, 1]),
        ({"ratio": 0.99, "min_channels": 3}, [3, 3]),
        ({"ratio": 0.5, "min_channels": 20}, [8, 10]),
        ({"ratio": 0.4, "round_to": 4}, [8, 10]),
        ({"ratio": 0.6, "round_to": 4}, [4, 4]),
        ({"ratio": 0.5, "ratios": {"first": None}}, [8, 5]),
        ({"ratio": 0.5, "ratios": {"sec*": 0.2}}, [4, 8]),
        ({"ratios": {"first": 0.25}}, [6, 10]),
    ],
)
def test_limits(arguments, left):
    result = kp.prune_channels(mlp(), **arguments)
    got = [layer.units for layer in result.model.layers][:2]
    if arguments == {"ratio": 0.4, "round_to": 4}:  # 10 is no multiple of 4: 8 are, and 4 of 10 may go
        left = [8, 8]
    assert got == left


def test_global_scope_takes_the_lowest_of_all_groups():
    model = mlp()
    scores = {"first": np.arange(8) / 100 + 1, "second": np.arange(10) + 2.0}

    def score(binding):
        return (
            scores[binding.layer] if binding.layer in scores and binding.role == "out" and binding.axis == 1 else None
        )

    plain = ChannelImportance(score, normalize="none")
    result = kp.prune_channels(model, 0.5, scope="global", importance=plain, max_ratio=0.75)
    assert result.plan.removed == {"first": (0, 1, 2, 3, 4, 5), "second": (0, 1, 2)}


@pytest.mark.parametrize(
    "importance", ["l1", "l2", "random", "batch_norm_scale", ChannelImportance("l1", "max", "none")]
)
def test_importances(importance):
    check(residual(), 0.5, importance=importance)


def test_batch_norm_scale_decides():
    model = randomise(residual())
    norm = next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization))
    norm.gamma.assign([3, -0.1, 2, 0.2, 1, 0.3])
    result = kp.prune_channels(model, 0.5, importance="batch_norm_scale")
    assert result.plan.removed["narrow0"] == (1, 3, 5)


def test_random_importance_follows_the_seed():
    model = residual()
    plans = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        plans.append(kp.prune_channels(model, 0.5, importance="random").plan)
    assert plans[0] == plans[1] != plans[2]


def test_every_tensor_keeps_a_channel():
    inputs = keras.Input((5,))
    x = layers.Dense(8, name="wide")(inputs)
    left, right = ops.split(x, [2], axis=-1)
    y = layers.Dense(2, name="out")(layers.Concatenate()([ops.relu(left), ops.tanh(right)]))
    model = randomise(keras.Model(inputs, y))
    kernel = np.ones((5, 8))
    kernel[:, :2] = 0.01  # all of the left half are the worst
    model.get_layer("wide").kernel.assign(kernel)
    result = kp.prune_channels(model, 0.5)
    assert result.plan.removed == {"wide": (1, 6, 7)} or len(result.plan.removed["wide"]) == 3
    x = batch(model)
    assert difference(outputs(result.model, x), outputs(zeroed(model, result.plan), x)) <= 1e-5


def layer_norms():
    tokens = keras.Input((9,), dtype="int32")
    x = layers.Embedding(10, 8, name="embedding")(tokens)
    y = layers.LayerNormalization(name="norm")(x)
    y = layers.MultiHeadAttention(4, 4, name="attention")(y, y)
    x = layers.Add()([x, y])
    x = layers.RMSNormalization()(x)
    return keras.Model(tokens, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D()(x)))


def test_normalisations_over_channels_are_marked_inexact():
    result, error = check(layer_norms())
    assert error is None
    assert list(result.report.inexact) == ["embedding"]
    assert "mean and variance" in result.report.inexact["embedding"]
    assert result.model.get_layer("norm").gamma.shape == (4,)
    assert result.model.get_layer("attention").get_config()["num_heads"] == 2
    assert "inexact" in str(kp.analyze_channels(layer_norms()))


def test_group_normalisation_keeps_groups_of_equal_size():
    inputs = keras.Input((6, 6, 3))
    x = layers.GroupNormalization(3, name="norm")(layers.Conv2D(12, 3, name="conv")(inputs))
    result, error = check(keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x))))
    assert error is None
    assert result.model.get_layer("norm").gamma.shape == (6,)
    assert result.plan.removed["conv"] == tuple(sorted(result.plan.removed["conv"]))


@pytest.mark.core
def test_channels_first():
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has no channels_first convolutions on the CPU")
    with_first = {"data_format": "channels_first"}
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(8, 3, name="conv", **with_first)(inputs)
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.MaxPooling2D(**with_first)(layers.DepthwiseConv2D(2, **with_first)(x))
    x = layers.Dense(2 * 2 * 8, name="dense")(layers.Flatten(**with_first)(x))
    x = layers.Reshape((8, 2, 2))(x)
    x = layers.Conv2DTranspose(4, 3, name="up", **with_first)(x)
    check(keras.Model(inputs, layers.Dense(2, name="out")(layers.GlobalAveragePooling2D(**with_first)(x))))


def test_channels_first_shapes():
    """The same, without running it, which TensorFlow cannot."""
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(8, 3, name="conv", data_format="channels_first")(inputs)
    x = layers.Flatten(data_format="channels_first")(layers.BatchNormalization(axis=1, name="norm")(x))
    model = keras.Model(inputs, layers.Dense(2, name="out")(x))
    labels = kp.analyze_channels(model).trace.found.bindings[id(model.get_layer("out").kernel), 0].labels
    assert labels[:9].tolist() == [*range(8), 0]  # the channels lie innermost
    small = kp.prune_channels(model, 0.5).model
    assert small.get_layer("norm").gamma.shape == (4,)
    assert small.get_layer("out").kernel.shape == (4 * 36, 2)


def test_trainable_flags_names_and_classes_stay():
    model = mlp()
    model.get_layer("first").trainable = False
    small = kp.prune_channels(model, 0.5).model
    assert isinstance(small, keras.Sequential)
    assert [layer.name for layer in small.layers] == ["first", "second", "out"]
    assert [layer.trainable for layer in small.layers] == [False, True, True]
    assert small.name == model.name


def test_plans_can_be_saved_and_replayed(tmp_path):
    model = randomise(residual())
    result = kp.prune_channels(model, 0.5, importance="random")
    result.plan.save(tmp_path / "plan.json")
    plan = ChannelPlan.load(tmp_path / "plan.json")
    assert plan == result.plan
    again = kp.prune_channels(model, plan=plan).model
    for first, second in zip(result.model.weights, again.weights, strict=True):
        assert np.array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second))


def test_plans_of_other_models_are_refused(tmp_path):
    plan = kp.prune_channels(residual(), 0.5).plan
    with pytest.raises(ValueError, match="another structure"):
        kp.prune_channels(gate(), plan=plan)
    with pytest.raises(ValueError, match="always kept, or do not exist"):
        kp.prune_channels(residual(), plan=ChannelPlan(plan.fingerprint, {"out": (0,)}))
    with pytest.raises(ValueError, match="without channels"):
        kp.prune_channels(residual(), plan=ChannelPlan(plan.fingerprint, {"stem": tuple(range(8))}))
    for content in ("[1, 2]", '{"removed": {}}', '{"fingerprint": "a", "removed": {"b": ["c"]}}'):
        (tmp_path / "no.json").write_text(content)
        with pytest.raises(ValueError, match="no channel plan"):
            ChannelPlan.load(tmp_path / "no.json")
    plan.save(tmp_path / "plan.json")
    for position in (object(), 1.9, -1, "1"):
        with pytest.raises(ValueError, match=r"must be an integer from 0 .*Received: removed="):
            ChannelPlan(plan.fingerprint, {"stem": (position,)})
    assert ChannelPlan.load(tmp_path / "plan.json") == plan
    assert {path.name for path in tmp_path.iterdir()} == {"no.json", "plan.json"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Pass `ratio`"),
        ({"ratio": 1.0}, r"\[0, 1\)"),
        ({"ratio": -0.1}, r"\[0, 1\)"),
        ({"ratio": "half"}, r"\[0, 1\)"),
        ({"ratio": float("nan")}, r"\[0, 1\)"),
        ({"ratio": 0.5, "max_ratio": 1.0}, r"\[0, 1\)"),
        ({"ratio": 0.5, "ratios": {"stem": 2}}, r"\[0, 1\)"),
        ({"ratio": 0.5, "ratios": {"stom": 0.5}}, "Did you mean .*'stem'"),
        ({"ratio": 0.5, "ratios": {"stem": 0.5, "wide*": 0.25}}, "different values"),
        ({"ratio": 0.5, "scope": "layer"}, "`scope`"),
        ({"ratio": 0.5, "importance": "l3"}, "`importance` must be one of"),
        ({"ratio": 0.5, "importance": lambda binding: np.ones(1)}, "one finite score"),
        ({"ratio": 0.5, "round_to": 0}, "`round_to`"),
        ({"ratio": 0.5, "min_channels": 0}, "`min_channels`"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        kp.prune_channels(residual(), **arguments)
    assert "Received: " in str(caught.value)


def test_bad_models():
    with pytest.raises(TypeError, match="must be a Keras model"):
        kp.prune_channels(layers.Dense(3), 0.5)
    with pytest.raises(ValueError, match="no weights yet"):
        kp.prune_channels(keras.Sequential([layers.Dense(3)]), 0.5)
    with pytest.raises(ValueError, match="strip_pruning"):
        kp.analyze_channels(kp.wrap_pruning(mlp()))
    with pytest.raises(TypeError, match="takes the classes"):
        kp.register_rule("Dense")
