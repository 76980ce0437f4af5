"""prune_layers: without a branch, the model computes what the original does when the branch gives zeros."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import difference, outputs, randomise
from support.depth_zoo import (
    all_layers,
    chain,
    check,
    check_counts,
    feed,
    names,
    nested,
    recurrent,
    residual,
    transformer,
    values,
)
from support.reports import check_report

import keras_prune as kp

BRANCHES = [
    (residual, "a", ["a2"]),
    (residual, "a1", ["a2"]),  # which changes the shape: it means its branch
    (residual, "b*", ["b2"]),
    (residual, "c", ["c_bn"]),
    (residual, "d1", ["d1"]),
    (residual, "e1", ["e1"]),
    (residual, "f1", ["f1"]),
    (residual, "ef*", ["e1", "f1"]),
    (residual, "g1", ["g1"]),
    (residual, ["a", "b1", "b2", "c", "d1", "ef*", "g"], ["a2", "b2", "c_bn", "d1", "e1", "f1", "g1"]),
    (transformer, "attention1", ["attention1"]),
    (transformer, "cross0", ["cross_attention0"]),
    (transformer, "wide*", ["narrow0", "narrow1"]),
    (transformer, ["self0", "cross0", "mlp0"], ["attention0", "cross_attention0", "narrow0"]),
    (recurrent, "sum", ["simple"]),
    (nested, "body/first/sum", ["body/first/two"]),
    (nested, "body/*/*", ["body/first/two", "body/second/two"]),
    (nested, "twice/one", ["twice/two"]),
    (nested, "outer", ["mlp/back"]),
    (nested, ["mlp/same", "mlp/back"], ["mlp/back"]),  # nothing of the branch would be left
]


@pytest.mark.parametrize(("build", "which", "zeroed"), BRANCHES)
def test_without_a_branch_the_model_computes_what_it_does_with_zeros_there(build, which, zeroed):
    check(build(), zeroed, names=which)


@pytest.mark.core
def test_on_every_backend():
    check(residual(), ["a2", "c_bn", "e1"], names=["a", "c", "e1"])
    check(nested(), ["body/first/two", "mlp/back"], names=["body/first/sum", "outer"])


def test_expected_candidates():
    analysis = kp.analyze_layers(residual())
    found = {each.name: (each.kind, each.unranked) for each in analysis.candidates}
    assert [name for name, (kind, _) in found.items() if kind == "branch"] == [
        *("a", "add", "c", "subtract", "ef:0", "ef:2", "g")
    ]
    assert found["b1"] == ("layer", "part of the branch 'add'")
    assert names(analysis.ranked) == [name for name, (kind, _) in found.items() if kind == "branch"]
    (strided,) = [each for each in analysis.candidates if each.name == "c"]
    assert strided.layers == ("c1", "c2", "c_bn", "c")
    assert strided.parameters == sum(residual().get_layer(name).count_params() for name in strided.layers)
    assert strided.macs == 4 * 4 * (8 * 12 * 9 + 12 * 12 * 9)
    assert "as its shortcut" in analysis.reasons["c_shortcut"]
    assert "changes the shape" in analysis.reasons["stem"]
    text = str(analysis)
    assert all(name in text for name in [*found, "c_shortcut", "as its shortcut"])


@pytest.mark.parametrize("which", [["a"], ["b"], ["c", "d"], ["a_bn", "a"], ["a", "b", "c"]])
def test_layers_go_with_their_normalisation_and_activation(which):
    model = randomise(chain())
    skip = [name for name in which if len(name) == 1]
    reference = chain(skip)
    for layer in reference.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    before = values(model)
    result = kp.prune_layers(model, which)
    x = feed(model)
    assert isinstance(result.model, keras.Sequential)
    assert [layer.name for layer in result.model.layers] == [layer.name for layer in reference.layers]
    assert difference(outputs(result.model, x), outputs(reference, x)) <= 1e-6
    assert difference(outputs(result.model, x), outputs(model, x)) > 1e-4
    assert all(np.array_equal(old, new) for old, new in zip(before, values(model), strict=True))
    check_counts(model, result)


def test_the_last_layer_before_an_output_goes_only_if_named():
    model = randomise(chain(head=False))
    assert names(kp.analyze_layers(model).ranked) == ["a", "b", "c"]
    result = kp.prune_layers(model, ratio=0.99)
    assert [len(result.report.removed), result.model.layers[-1].name] == [2, "d"]
    assert kp.prune_layers(model, "d").model.layers[-1].name == "c_drop"


def test_a_model_inside_can_go():
    model = randomise(nested())
    result = kp.prune_layers(model, "body/first")
    assert [layer.name for layer in result.model.get_layer("body").layers] == ["second"]
    whole = kp.prune_layers(model, "body")
    assert "body" not in {layer.name for layer in whole.model.layers}
    parts = kp.prune_layers(model, ["body/first", "body/second/sum"])  # nothing of it is left: it goes
    assert "body" not in {layer.name for layer in parts.model.layers}
    x = feed(model)
    assert difference(outputs(parts.model, x), outputs(whole.model, x)) == 0
    assert parts.report.layers_after == whole.report.layers_after == len(all_layers(whole.model))
    for each in (result, whole, parts):
        check_counts(model, each)


def test_a_layer_that_is_used_elsewhere_stays_there():
    inputs = keras.Input((8,))
    shared = layers.Dense(8, activation="tanh", name="shared")
    x = shared(inputs)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="out")(ops.sin(shared(x)))))
    analysis = kp.analyze_layers(model)
    assert [(each.name, each.parameters) for each in analysis.candidates] == [("shared", 0), ("shared#2", 0)]
    result = kp.prune_layers(model, "shared#2")
    assert result.report.parameters_after == model.count_params()
    assert result.report.macs_after == result.report.macs_before - 64
    x = feed(model)
    expected = model.get_layer("out")(ops.sin(model.get_layer("shared")(x)))
    assert difference(outputs(result.model, x), [ops.convert_to_numpy(expected)]) <= 1e-6
    both = kp.prune_layers(model, "shared")
    assert both.report.parameters_after == 18
    assert both.model.count_params() == 18


def test_one_use_of_a_model_that_is_used_twice():
    model = randomise(nested())
    x = feed(model)
    body, twice = model.get_layer("body"), model.get_layer("twice")
    result = kp.prune_layers(model, "twice#2")
    h = ops.tanh(twice(body(model.get_layer("stem")(x))))
    h = h + model.get_layer("mlp")(h)
    expected = [ops.convert_to_numpy(model.get_layer(name)(h)) for name in ("out", "aux")]
    assert difference(outputs(result.model, x), expected) <= 1e-5
    assert result.model.count_params() == model.count_params()


def test_layers_in_sequences_of_any_length():
    model = randomise(recurrent())
    analysis = kp.analyze_layers(model)
    assert names(analysis.ranked) == ["gru1", "lstm", "sum", "each"]
    assert "changes the shape" in analysis.reasons["shorter"]
    x = feed(model)
    result = kp.prune_layers(model, ["gru1", "lstm"])
    check_counts(model, result)
    reference = recurrent(skip=["gru1", "lstm"])
    for layer in reference.layers[1:]:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    assert difference(outputs(result.model, x), outputs(reference, x)) <= 1e-6
    assert difference(outputs(result.model, x), outputs(model, x)) > 1e-4


def test_paths_that_must_stay():
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    x = a + layers.Dense(8, name="mix")(ops.concatenate([a, layers.Dense(8, name="of_b")(b)], axis=-1))
    model = keras.Model([a, b], layers.Dense(2, name="out")(x))
    with pytest.raises(ValueError, match="input 'b' would no longer reach an output"):
        kp.prune_layers(model, "mix")
    with pytest.raises(ValueError, match="'b' would no longer reach"):
        kp.prune_layers(model, "add*")
    report = kp.prune_layers(model, ratio=0.9, importance="random").report
    assert names(report.removed) == []
    with pytest.raises(ValueError, match="input 'context' would no longer reach"):
        kp.prune_layers(transformer(), ["cross0", "cross1"])
    ranked = kp.prune_layers(transformer(), ratio=0.99, importance="random")
    assert sum(name.startswith("cross") for name in names(ranked.report.removed)) == 1
    assert "context" in str(ranked)


def test_something_with_weights_stays_before_each_output():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="a"), layers.Dense(8, name="b")])
    with pytest.raises(ValueError, match="no layer with weights would be left before output 0"):
        kp.prune_layers(model, ["a", "b"])
    assert [layer.name for layer in kp.prune_layers(model, "b").model.layers] == ["a"]
    inputs = keras.Input((8,))
    x = inputs + layers.Dense(8)(inputs)
    x = x + layers.Dense(8)(x)
    result = kp.prune_layers(keras.Model(inputs, x), ratio=0.99, importance="random")
    assert len(result.report.removed) == 1


def test_what_contains_other_candidates_does_not_count_with_them():
    """A long skip around two blocks, and a block in a block."""
    inputs = keras.Input((6,))
    x = stem = layers.Dense(8, name="stem")(inputs)
    for index in range(2):
        y = layers.Dense(8, activation="relu", name=f"one{index}")(x)
        x = layers.Add(name=f"sum{index}")([x, layers.Dense(8, name=f"two{index}")(y)])
    x = layers.Add(name="long")([stem, layers.Dense(8, name="end")(x)])
    model = keras.Model(inputs, layers.Dense(2, name="out")(x))
    analysis = kp.analyze_layers(model)
    assert names(analysis.ranked) == ["sum0", "sum1", "end"]
    unranked = {each.name: each.unranked for each in analysis.candidates if each.unranked}
    assert unranked == {
        **{f"{name}{index}": f"part of the branch 'sum{index}'" for index in range(2) for name in ("one", "two")},
        "long": "contains the branch 'sum0'",
    }
    taken = [node for each in analysis.ranked for node in each.vanishing]
    assert len(taken) == len(set(map(id, taken)))
    check(model, ["end"], names="long")
    result = check(model, ["end"], names=["sum0", "sum1", "end"])  # nothing is left of the long branch: it goes
    assert result.plan.removed == ("long",)
    assert names(result.report.removed) == ["one0", "two0", "sum0", "one1", "two1", "sum1", "end", "long"]


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("steem", "Did you mean 'stem'"),
        ("stem", r"'stem': it changes the shape from \(None, 8, 8, 3\) to \(None, 8, 8, 8\)"),
        (["a", "c_shortcut"], "as its shortcut"),
        ("*_relu", "it has no weights or is a normalisation"),
        ("out", "changes the shape"),
        ("*", "'stem': it changes the shape"),
    ],
)
def test_what_cannot_go_says_why(which, message):
    model = residual()
    before = values(model)
    with pytest.raises(ValueError, match=message) as caught:
        kp.prune_layers(model, which)
    assert "Received: " in str(caught.value)
    assert all(np.array_equal(old, new) for old, new in zip(before, values(model), strict=True))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.Dense(5), "changes the shape"),
        (layers.Bidirectional(layers.GRU(8, return_sequences=True)), "changes the shape"),
        (layers.GRU(8, return_sequences=True, return_state=True), "has 2 outputs"),
        (layers.Embedding(9, 4), "changes the shape"),
        (lambda x: layers.MultiHeadAttention(2, 2, name="layer")(x, ops.sin(x)), "has 2 inputs"),
        (layers.Dense(8, dtype="float64"), "changes the type"),
    ],
)
def test_layers_that_cannot_go(layer, reason):
    inputs = keras.Input((4, 8))
    made = layer(inputs)
    made = made[0] if isinstance(made, list | tuple) else made
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(made)))
    assert any(reason in found for found in kp.analyze_layers(model).reasons.values())


def test_towers_of_equal_depth_have_no_shortcut():
    inputs = keras.Input((8,))
    x = layers.Add(name="both")([layers.Dense(6, name="one")(inputs), layers.Dense(6, name="two")(inputs)])
    analysis = kp.analyze_layers(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    assert not analysis.candidates
    assert set(analysis.reasons) == {"one", "two", "out"}
    assert all("no shortcut" in analysis.reasons[name] for name in ("one", "two"))


def test_reports():
    model = residual()
    analysis, result = kp.analyze_layers(model), kp.prune_layers(model, ["a", "c"])
    facts, records, bars = check_report(analysis, "c_shortcut", "as its shortcut", "Parameters")
    assert facts == {
        "model": model.name,
        "fingerprint": analysis.fingerprint,
        "reasons": analysis.reasons,
        "unknown_macs": {},
    }
    assert [each["name"] for each in records] == names(analysis.candidates)
    assert bars == {"Parameters": [each.parameters for each in analysis.candidates]}

    report = result.report
    assert (str(result), result._repr_html_()) == (str(report), report._repr_html_())
    facts, records, bars = check_report(report, f"Layers: {report.layers_before} -> {report.layers_after}", "removed")
    assert facts["macs"]["after"] == report.macs_after == kp.cost(result.model).macs
    assert [each["name"] for each in records if each["removed"]] == names(report.removed)
    sizes = [
        (report.layers_before, report.layers_after),
        (model.count_params(), result.model.count_params()),
        (report.macs_before, report.macs_after),
    ]
    assert bars == {"Before": [100.0] * 3, "After": [pytest.approx(100 * after / before) for before, after in sizes]}
