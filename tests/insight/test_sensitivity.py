"""`sensitivity` against the oracle: prune one layer, or one group, and evaluate."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from support.channel_zoo import attention, gate, randomise
from support.versions import needs_keras
from support.zoo import BACKEND, batch, cnn, mlp, nested, subclassed, two_in_two_out

import keras_prune as kp
from keras_prune import _keras
from keras_prune.patterns import exact_pattern, matches

pytestmark = pytest.mark.core
RATIOS = (0.3, 0.8)


def prepared(model, metrics=("mae",), size=32):
    """A compiled model with random biases and statistics, and data for it."""
    randomise(model)
    x = batch(model, size)
    rng = np.random.default_rng(1)
    y = keras.tree.map_structure(lambda out: rng.normal(size=np.shape(out)), model.predict(x, verbose=0))
    if not isinstance(y, dict):
        model.compile("adam", "mse", metrics=list(metrics))
    else:
        model.compile("adam", "mse", metrics={name: ["mae"] for name in y})
    return model, (x, y)


def evaluated(pruned, model, data, name):
    """The metric of a pruned model, by Keras alone."""
    pruned.compile(loss="mse", metrics=_keras.compiled_metrics(model)[0])
    return pruned.evaluate(*data, verbose=0, return_dict=True)[name]


def state(model):
    return [np.array(keras.ops.convert_to_numpy(each.value)) for each in [*model.variables, *model.metrics_variables]]


# Before Keras 3.14, metrics do not find outputs by the keys of a dict.
@pytest.mark.parametrize("build", [cnn, nested, pytest.param(two_in_two_out, marks=needs_keras("3.14"))])
def test_weights_alone_like_prune_weights(build):
    model, data = prepared(build())
    before = state(model)
    found = kp.sensitivity(model, data, ratios=RATIOS)
    assert [curve.name for curve in found.curves] == [layer.name for layer in kp.summary(model).layers if layer.weights]
    for curve in found.curves:
        for ratio, value in zip(found.levels, curve.values, strict=True):
            pruned = kp.prune_weights(model, 0.0, targets=dict.fromkeys(curve.patterns, ratio))
            sparse = {layer.name for layer in kp.summary(pruned).layers if any(w.zeros for w in layer.weights)}
            assert sparse == {curve.name}
            assert value == pytest.approx(evaluated(pruned, model, data, found.metric), rel=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, state(model), strict=True))


def test_channels_alone_like_prune_channels():
    for build in (cnn, nested, gate) if BACKEND == "tensorflow" else (nested,):
        model, data = prepared(build())
        before = state(model)
        found = kp.sensitivity(model, data, kind="channels", ratios=RATIOS, metric="loss")
        assert found.curves
        assert not found.higher_is_better
        for curve in found.curves:
            for ratio, value in zip(found.levels, curve.values, strict=True):
                small = kp.prune_channels(model, ratios=dict.fromkeys(curve.patterns, ratio))
                assert value == pytest.approx(evaluated(small.model, model, data, "loss"), rel=1e-4)
        assert all(np.array_equal(a, b) for a, b in zip(before, state(model), strict=True))


def test_inexact_and_inseparable_groups_like_prune_channels():
    """LayerNormalization computes something else without some channels; heads and their dimensions share a layer."""
    inputs = keras.Input((6,))
    hidden = layers.LayerNormalization()(layers.Dense(8, name="wide")(inputs))
    models = [keras.Model(inputs, layers.Dense(2)(hidden))]
    if BACKEND == "tensorflow":
        models.append(attention())
    for model in models:
        model, data = prepared(model)
        found = kp.sensitivity(model, data, kind="channels", ratios=(0.5,))
        for curve in found.curves:
            small = kp.prune_channels(model, ratios=dict.fromkeys(curve.patterns, 0.5)).model
            assert curve.values[0] == pytest.approx(evaluated(small, model, data, found.metric), rel=1e-4)
        kp.prune_channels(model, ratios=found.ratios(100.0))  # what it names can be asked for together


def test_a_subclassed_model_is_read_only():
    model, data = prepared_subclassed()
    before, names = state(model), [layer.name for layer in kp.summary(model).layers]
    found = kp.sensitivity(model, data, ratios=(0.5,))
    assert [curve.name for curve in found.curves] == names
    assert all(np.array_equal(a, b) for a, b in zip(before, state(model), strict=True))
    assert not any(layer.masked for layer in kp.summary(model).layers)
    kp.prune_weights(model, 0.0, targets={"first": 0.5})  # in place
    assert found.curves[0].values[0] == pytest.approx(model.evaluate(*data, verbose=0, return_dict=True)["mae"], 1e-5)


def prepared_subclassed():
    model = subclassed()
    x, y = np.random.default_rng(0).normal(size=(32, 6)), np.random.default_rng(1).normal(size=(32, 3))
    model.compile("adam", "mse", metrics=["mae"])
    return model, (x, y)


def test_masks_frozen_layers_and_importances_are_those_of_prune_weights():
    model, data = prepared(mlp())
    model.layers[0].trainable = False
    masked = kp.prune_weights(model, 0.6, targets={"output": None})
    masked.compile("adam", "mse", metrics=["mae"])
    found = kp.sensitivity(masked, data, ratios=(0.5, 0.8), importance="taylor")
    assert [curve.name for curve in found.curves] == ["hidden1", "output"]
    assert found.curves[0].values[0] == found.baseline  # it has lost 0.6 already
    pruned = kp.prune_weights(masked, 0.0, targets={"hidden1": 0.8}, importance="taylor", data=data)
    assert found.curves[0].values[1] == pytest.approx(evaluated(pruned, model, data, "mae"), rel=1e-5)


def curves(*values, higher=True, kind="weights"):
    from keras_prune.insight.sensitivity.scan import SensitivityCurve

    rows = tuple(SensitivityCurve(f"layer{i}", 10, row, (f"layer{i}",)) for i, row in enumerate(values))
    return kp.insight.Sensitivity(kind, "score", higher, 0.9, (0.2, 0.5, 0.8), rows)


def test_targets_are_the_highest_ratios_that_hold():
    found = curves((0.9, 0.85, 0.8), (0.91, 0.2, 0.9), (0.7, 0.9, 0.9), (0.9, float("nan"), 0.9))
    assert found.targets(0.1) == {"layer0": 0.8, "layer1": 0.2, "layer2": 0.0, "layer3": 0.2}
    assert found.targets(0.05) == {"layer0": 0.5, "layer1": 0.2, "layer2": 0.0, "layer3": 0.2}
    assert curves((0.95, 1.0, 1.1), higher=False).targets(0.1) == {"layer0": 0.5}
    assert curves((0.9, 0.85, 0.8), kind="channels").ratios(0.1) == {"layer0": 0.8}
    with pytest.raises(ValueError, match="use `targets"):
        found.ratios(0.1)
    with pytest.raises(ValueError, match="max_drop=-1"):
        found.targets(-1)


def test_targets_prune_just_these_layers():
    model, data = prepared(nested())
    found = kp.sensitivity(model, data, ratios=(0.5,), layers=["/dense", "encoder/*"])
    assert [curve.name for curve in found.curves] == ["encoder/dense", "dense"]
    pruned = kp.summary(kp.prune_weights(model, 0.0, targets=found.targets(100.0)))
    zeros = {layer.name: layer.weights[0].zeros for layer in pruned.layers}
    assert zeros == {"encoder/dense": 15, "decoder/dense": 0, "dense": 6}


@pytest.mark.parametrize("path", ["dense", "a/dense", "dense[1]", "b*"])
def test_exact_patterns(path):
    paths = ["dense", "a/dense", "b/dense", "dense[1]", "dense1", "b*", "bb"]
    assert [other for other in paths if matches(exact_pattern(path, paths), other)] == [path]


def test_metrics():
    x, y = np.random.default_rng(0).normal(size=(50, 12)), np.random.default_rng(1).integers(0, 4, 50)
    model = mlp()
    metric = keras.metrics.SparseCategoricalAccuracy(name="right")
    found = kp.sensitivity(model, (x, y), ratios=(0.5,), metric=metric, layers="output")  # not compiled: no loss
    pruned = kp.prune_weights(model, 0.0, targets={"output": 0.5})
    right = float((pruned.predict(x, verbose=0).argmax(-1) == y).mean())
    assert (found.metric, found.higher_is_better) == ("right", True)
    assert found.curves[0].values[0] == pytest.approx(right)
    assert float(metric.result()) == 0.0  # the user's own was not used
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    named = kp.sensitivity(model, (x, y), ratios=(0.5,), metric="accuracy", loss=loss, layers="output")
    assert named.curves[0].values == found.curves[0].values
    batches = [(x[:20], y[:20]), (x[20:], y[20:])]  # of different sizes
    assert kp.sensitivity(model, batches, ratios=(0.5,), metric=metric, layers="output") == found
    assert kp.sensitivity(model, (x, y), ratios=(0.5,), metric=metric, layers="output", mode="min").targets(0) == {
        "output": 0.5 if right <= found.baseline else 0.0
    }


def test_a_scan_that_was_killed_goes_on(tmp_path, monkeypatch):
    from keras_prune.measurement.evaluation import Evaluation

    model, data = prepared(mlp())
    whole = kp.sensitivity(model, data, ratios=RATIOS)
    file, evaluate, calls = tmp_path / "scan.json", Evaluation.of, []

    def counted(self, running):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return evaluate(self, running)

    monkeypatch.setattr(Evaluation, "of", counted)
    with pytest.raises(KeyboardInterrupt):
        kp.sensitivity(model, data, ratios=RATIOS, cache=file)
    assert sum(map(len, json.loads(file.read_text())["measured"].values())) == 4
    assert kp.sensitivity(model, data, ratios=RATIOS, cache=file) == whole
    assert len(calls) == 5 + 2
    shuffled = [(data[0][::-1], data[1][::-1])]  # the same samples
    assert [curve.values for curve in kp.sensitivity(model, shuffled, ratios=RATIOS, cache=file).curves] == [
        curve.values for curve in whole.curves
    ]
    assert len(calls) == 7
    kp.sensitivity(model, data, ratios=(0.1, 0.8), cache=file)
    assert len(calls) == 10
    before, bias = file.read_text(), np.array(model.layers[0].bias)
    model.layers[0].bias.assign_add(np.ones(16))
    for changed in ({}, {"importance": "random"}, {"metric": "loss"}):
        with pytest.raises(ValueError, match="of another model"):
            kp.sensitivity(model, data, ratios=RATIOS, cache=file, **changed)
    assert file.read_text() == before
    model.layers[0].bias.assign(bias)
    with pytest.raises(ValueError, match="of another model") as caught:
        kp.sensitivity(model, data, ratios=RATIOS, cache=file, importance="random", metric="loss")
    differ = str(caught.value).partition(" and ")[2]
    assert differ.startswith('metric="loss", and it was made with "')
    assert differ.endswith('; importance="random", and it was made with null')


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "neurons"}, ValueError, "kind='neurons'"),
        ({"ratios": (0.5, 1.0)}, ValueError, "ratios=.0.5, 1.0."),
        ({"ratios": ()}, ValueError, "ratios="),
        ({"ratios": 0.5}, ValueError, "ratios=0.5"),
        ({"metric": "accuracy"}, ValueError, r"it has \['loss', 'mae'\].*Received: metric='accuracy'"),
        ({"metric": 3}, TypeError, "metric=3"),
        ({"mode": "up"}, ValueError, "mode='up'"),
        ({"importance": "size"}, ValueError, "importance='size'"),
        ({"layers": "conv"}, ValueError, "'conv'"),
        ({"layers": 3}, TypeError, "layers=3"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"cache": "no/such/folder.json"}, ValueError, "no/such/folder.json"),
        ({"data": None}, ValueError, "data=None"),
        ({"data": np.zeros((8, 12))}, ValueError, "x without y"),
        ({"data": (np.zeros((8, 11)), np.zeros((8, 4)))}, ValueError, r"\(8, 11\)"),
        ({"data": (np.zeros((8, 12)), np.zeros((8, 3)))}, ValueError, r"y of shape \(8, 3\)"),
        ({"data": ({"image": np.zeros((8, 12))}, np.zeros((8, 4)))}, ValueError, "does not fit"),
        ({"data": (np.full((8, 12), np.nan), np.zeros((8, 4)))}, ValueError, "finite"),
        ({"model": 3}, TypeError, "model=3"),
    ],
    ids=lambda value: "" if isinstance(value, type) else str(value)[:30],
)
def test_bad_input(arguments, error, message):
    model, data = prepared(mlp())
    given = {"model": model, "data": data, "ratios": (0.5,)} | arguments
    with pytest.raises(error, match=message):
        kp.sensitivity(given.pop("model"), given.pop("data"), **given)


def test_a_file_that_is_no_cache_is_left_alone(tmp_path):
    model, data = prepared(mlp())
    for text in ("mine", "[]", '{"fingerprint": "x", "measured": {"a": 1}}'):
        (tmp_path / "file").write_text(text)
        with pytest.raises(ValueError, match="holds no measurements"):
            kp.sensitivity(model, data, cache=tmp_path / "file")
        assert (tmp_path / "file").read_text() == text


def test_the_table():
    text = str(curves((0.9, 0.85, 0.8), (0.9, float("nan"), 0.9)))
    assert "layer1" in text
    assert "unpruned: 0.9" in text


@pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")
def test_the_plot_names_the_most_sensitive():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    found = curves(*[(0.9, 0.9 - i / 50, 0.9 - i / 40) for i in range(20)])
    ax = found.plot()
    assert len(ax.lines) == 21
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["14 less sensitive", *(f"layer{i}" for i in range(19, 13, -1))]
    assert list(ax.lines[14].get_ydata()) == [0.9, *found.curves[19].values]
    assert len(curves((0.9, 0.8, 0.7)).plot(ax=ax).lines) == 23
    with pytest.raises(ValueError, match="highlight=9"):
        found.plot(highlight=9)
