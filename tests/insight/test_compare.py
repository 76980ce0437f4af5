"""`compare` against Keras's own `evaluate`, counts by NumPy, and the files themselves."""

import gzip
import html.parser
import re

import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.insight.comparison.rows import ModelComparison, ModelRow

core = pytest.mark.core
only_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow converts")


def classifier(units=6, outputs=3, activation="softmax"):
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(units, activation="relu"), layers.Dense(outputs, activation=activation)]
    )


def data(count=40, classes=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 8)).astype("float32"), rng.integers(0, classes, count)


@core
def test_scores_are_those_of_evaluate():
    x, y = data()
    models = {"one": classifier(), "two": classifier(4)}
    found = kp.compare(models, x, y, loss="sparse_categorical_crossentropy", latency=False, batch_size=16)
    for row, model in zip(found.rows, models.values(), strict=True):
        assert not model.compiled
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        loss, accuracy = model.evaluate(x, y, verbose=0)
        assert row.scores == {"loss": pytest.approx(loss, rel=1e-5), "accuracy": pytest.approx(accuracy)}
    again = kp.compare(models, x, y, latency=False)  # now from what the first was compiled with
    assert [row.scores for row in again.rows] == [pytest.approx(row.scores) for row in found.rows]


@pytest.mark.parametrize(
    ("outputs", "loss", "metrics", "targets"),
    [
        (1, "mse", ["mae", keras.metrics.RootMeanSquaredError()], lambda rng: rng.normal(size=40)),
        (1, "binary_crossentropy", "acc", lambda rng: rng.integers(0, 2, 40)),
        (
            3,
            keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
            ["accuracy"],
            lambda rng: np.eye(3)[np.zeros(40, int)],
        ),
        (
            3,
            "sparse_categorical_crossentropy",
            [keras.metrics.SparseTopKCategoricalAccuracy(2)],
            lambda rng: np.ones(40),
        ),
    ],
)
def test_losses_and_metrics_in_each_form(outputs, loss, metrics, targets):
    x, _ = data()
    y = targets(np.random.default_rng(1))
    model = classifier(outputs=outputs, activation="sigmoid" if outputs == 1 else "softmax")
    (row,) = kp.compare({"one": model}, x, y, loss=loss, metrics=metrics, latency=False).rows
    model.compile("sgd", loss, metrics=[metrics] if isinstance(metrics, str) else metrics)
    assert list(row.scores.values()) == [pytest.approx(value, rel=1e-4) for value in model.evaluate(x, y, verbose=0)]


@core
def test_sizes_work_and_ratios_as_counted():
    x, y = data()
    dense = classifier()
    pruned, small = kp.prune_weights(dense, 0.5), kp.prune_channels(dense, 0.5).model
    found = kp.compare({"dense": dense, "pruned": pruned, "small": small}, x, y, runs=2)
    first, second, third = found.rows
    assert (first.parameters, first.macs, first.bytes) == (75, 66, 300)
    assert first.compressed_bytes == len(gzip.compress(b"".join(w.tobytes() for w in dense.get_weights()), 9))
    assert (second.parameters, second.macs, second.effective_macs) == (75, 66, 33)
    assert second.non_zeros == sum(np.count_nonzero(w) for w in kp.strip_pruning(pruned).get_weights())
    assert second.sparsity == 1 - second.non_zeros / 75
    assert (third.parameters, third.macs) == (8 * 3 + 3 + 3 * 3 + 3, 33)
    assert [found.ratio(row, "macs") for row in found.rows] == [1.0, 1.0, 0.5]
    assert found.ratio(second, "sparsity") == pytest.approx(second.sparsity / first.sparsity)
    for row in found.rows:
        assert row.latency_in == "Keras"
        assert row.latency_ms > 0
        assert row.ns_per_parameter == pytest.approx(row.latency_ms * 1e6 / row.parameters)


def test_ratio_of_nothing_is_none():
    rows = [ModelRow(name, "Keras", {}, 10, 10 - n, None, None, 40, 30, "weights") for n, name in enumerate("ab")]
    found = ModelComparison(tuple(rows))
    assert found.ratio(rows[1], "sparsity") is None  # of the first it is 0
    assert found.ratio(rows[1], "macs") is None
    assert found.records()[1]["macs_ratio"] is None
    assert "-" in str(found)


@pytest.mark.parametrize(
    ("name", "first", "second", "ratio"),
    [
        ("sparsity", 1, 5000, None),  # a zero among the biases: 5000 times as many say nothing
        ("sparsity", 99, 5000, None),
        ("sparsity", 100, 5000, 50.0),
        ("loss", 1e-9, 0.5, None),
        ("loss", 1e-9, 2e-9, 2.0),
        ("loss", -1e-9, 0.5, None),
        ("loss", 0.5, 1e-9, 2e-9),
        ("loss", 0.001, 0.5, 500.0),
    ],
)
def test_there_is_no_ratio_to_next_to_nothing(name, first, second, ratio):
    def row(label, number):
        zeros, scores = (number, {}) if name == "sparsity" else (0, {"loss": number})
        return ModelRow(label, "Keras", scores, 10_000, 10_000 - zeros, None, None, 40, 30, "weights")

    found = ModelComparison((row("a", first), row("b", second)))
    assert found.ratio(found.rows[1], name) == (None if ratio is None else pytest.approx(ratio))
    assert found.records()[1][f"{name}_ratio"] == found.ratio(found.rows[1], name)
    assert all(float(word) < 1000 for word in re.findall(r"\((\d[\d.]*)\)", str(found)))


def test_latencies_of_different_kinds_are_not_divided():
    kinds = [("a", "Keras", 2.0), ("b", "LiteRT", 0.5), ("c", "Keras", 1.0), ("d", "LiteRT", 0.25)]
    rows = [ModelRow(n, "-", {}, 10, 10, 1, 1, 40, 30, "file", ms, where) for n, where, ms in kinds]
    found = ModelComparison(tuple(rows))
    assert [found.ratio(row, "latency_ms") for row in rows] == [1.0, 1.0, 0.5, 0.5]
    assert "do not compare" in str(found)


def test_plot_has_a_bar_for_each_ratio_that_is_known():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [
        ModelRow("a", "-", {"loss": 2.0}, 10, 10, 4, 4, 40, 30, "file"),
        ModelRow("b", "-", {"loss": 3.0}, 5, 5, None, None, 20, 15, "file"),
    ]
    ax = ModelComparison(tuple(rows)).plot()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["loss", "parameters", "non zeros", "macs", "effective macs", "compressed bytes"]
    widths = [[bar.get_width() for bar in bars] for bars in ax.containers]
    assert widths == [[1.0] * 6, [1.5, 0.5, 0.5, 0.5]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    plt.close("all")


def test_forms_of_the_table():
    x, y = data()
    models = {f"model {index} | <b>": classifier() for index in range(7)}
    found = kp.compare(models, x, y, latency=False)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 120
    assert all(f"model {index}" in text for index in range(7))
    records = found.records()
    assert [record["model"] for record in records] == list(models)
    assert all(record.keys() == records[0].keys() for record in records)
    assert all(isinstance(value, int | float | str | None) for record in records for value in record.values())
    lines = [line for line in found.to_markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 1 + 7  # accuracy, and seven rows of size and work
    assert "\\|" in lines[0]
    parser = html.parser.HTMLParser()
    parser.feed(found.to_html())
    assert "<b>" not in found.to_html()
    assert found._repr_html_() in found.to_html()


class Counting(layers.Layer):
    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return x


def stateful():
    inputs = keras.Input(batch_shape=(4, 5, 8))
    x = Counting()(layers.GRU(4, stateful=True)(inputs))
    model = keras.Model(inputs, layers.Dense(3)(x))
    model.compile("sgd", "mse", metrics=["mae"])
    return model


@core
def test_models_stay_as_they_were():
    model, twin = stateful(), stateful()
    twin.set_weights(model.get_weights())
    sequences, y = np.random.default_rng(0).normal(size=(8, 5, 8)).astype("float32"), np.ones((8, 3))
    for each in (model, twin):
        each.predict(sequences, batch_size=4, verbose=0)
    before = [np.array(keras.ops.convert_to_numpy(each.value)) for each in model.variables]
    function, metrics = model.predict_function, model.metrics
    kp.compare({"one": model}, sequences, y, batch_size=4, runs=1)
    after = [keras.ops.convert_to_numpy(each.value) for each in model.variables]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert model.predict_function is function
    assert model.metrics == metrics
    assert model.layers[1].stateful
    # The next sequences go on from the same states as those of a twin that was not compared.
    expected = twin.predict(sequences, batch_size=4, verbose=0)
    assert np.allclose(model.predict(sequences, batch_size=4, verbose=0), expected, atol=1e-6)


@core
def test_subclassed_models_and_several_inputs():
    class Both(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, inputs):
            return self.dense(inputs["a"]) + inputs["b"]

    x = {"a": np.ones((6, 4), "float32"), "b": np.ones((6, 3), "float32")}
    model = Both()
    model(x)
    (row,) = kp.compare({"both": model}, x, np.zeros((6, 3)), loss="mse", runs=1).rows
    assert (row.parameters, row.macs) == (15, 12)
    assert row.scores["loss"] == pytest.approx(float(np.mean(model.predict(x, verbose=0) ** 2)), rel=1e-5)


def test_what_cannot_be_compared():
    x, y = data()
    model = classifier()
    unbuilt = keras.Sequential([layers.Dense(3)])

    def refuse(models, *args, error=ValueError, match, **kwargs):
        with pytest.raises(error, match=match):
            kp.compare(models, *args, **kwargs)

    refuse({}, x, y, match="Received: {}")
    refuse([model], x, y, match="dictionary")
    refuse({"one": 3}, x, y, error=TypeError, match="Received: 'one': int")
    refuse({"one": unbuilt}, x, y, match="unbuilt")
    refuse({"one": "missing.tflite"}, match="missing.tflite")
    refuse({"one": model}, None, y, match="y without x")
    refuse({"one": model}, x, y[:-1], match="Received: x of shape")
    refuse({"one": model}, x[:0], y[:0], match="at least one")
    refuse({"one": model}, x[:, :5], y, match="Received: x of shape")
    refuse({"one": model}, x, y, metrics=["unheard of"], match="Received: 'unheard of'")
    refuse({"one": model}, x, y, loss="unheard of", match="Received: 'unheard of'")
    refuse({"one": model}, x, np.ones((40, 7)), loss="categorical_crossentropy", match="cannot be computed")
    refuse({"one": model}, x, y, runs=0, match="Received: runs=0")


def test_without_data_nothing_is_run():
    (row,) = kp.compare({"one": classifier()}).rows
    assert (row.scores, row.latency_ms, row.macs) == ({}, None, 66)


@only_tensorflow
def test_files_beside_their_model(tflite_files, tmp_path):
    from support import tflite_files as made

    import tflite_export

    model, paths = tflite_files
    x = made.images(24)
    y = model.predict(x, verbose=0).argmax(-1)
    found = kp.compare({"keras": model, "float32": paths["float32"], "int8": str(paths["int8"])}, x, y, runs=3)
    first, float32, int8 = found.rows
    assert first.scores == float32.scores == {"accuracy": 1.0}
    outputs = tflite_export.predict(paths["int8"], x)
    assert int8.scores["accuracy"] == pytest.approx((outputs.argmax(-1) == y).mean())
    assert [row.macs for row in found.rows] == [kp.cost(model).macs] * 3
    assert float32.effective_macs == first.effective_macs
    assert first.parameters == float32.parameters == int8.parameters == model.count_params()
    assert float32.non_zeros == first.non_zeros
    assert int8.bytes == paths["int8"].stat().st_size
    assert [row.latency_in for row in found.rows] == ["Keras", "LiteRT", "LiteRT"]
    exported = kp.compare({"keras": model, "float32": paths["float32"]}, x, export=True, runs=3)
    assert {row.latency_in for row in exported.rows} == {"LiteRT"}
    assert {row.bytes_of for row in exported.rows} == {"file"}
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(paths["float32"].read_bytes()[:1000])
    with pytest.raises(ValueError, match="Received"):
        kp.compare({"keras": model, "damaged": damaged}, x, y)


def two_outputs(structure="dict", units=6):
    inputs = keras.Input((8,))
    hidden = layers.Dense(units, activation="relu")(inputs)
    number, kind = layers.Dense(1, name="number")(hidden), layers.Dense(3, activation="softmax", name="kind")(hidden)
    return keras.Model(inputs, {"number": number, "kind": kind} if structure == "dict" else [number, kind])


JUDGED = {
    "dict": ({"number": "mse", "kind": "sparse_categorical_crossentropy"}, {"number": ["mae"], "kind": ["accuracy"]}),
    "list": (["mse", "sparse_categorical_crossentropy"], [["mae", keras.metrics.RootMeanSquaredError()], ["accuracy"]]),
    "by name": ({"number": "mse", "kind": "sparse_categorical_crossentropy"}, {"kind": "accuracy"}),
}


@core
@pytest.mark.parametrize("form", JUDGED)
def test_several_outputs_are_judged_as_evaluate_does(form):
    (x, kinds), (loss, metrics) = data(), JUDGED[form]
    numbers = np.random.default_rng(2).normal(size=(40, 1))
    model = two_outputs(form)
    y = {"number": numbers, "kind": kinds} if form == "dict" else [numbers, kinds]
    (row,) = kp.compare({"one": model}, x, y, loss=loss, metrics=metrics, latency=False, batch_size=16).rows
    model.compile("sgd", loss, metrics=metrics, loss_weights={"number": 0.5, "kind": 2.0} if form == "dict" else [2, 1])
    # In one batch: the losses of single outputs are means over batches, of whatever size, in `evaluate`.
    expected = model.evaluate(x, y, batch_size=40, verbose=0, return_dict=True)
    others = {name for name in expected if name != "loss"}
    assert set(row.scores) == {"loss", *others}
    for name in others:
        assert row.scores[name] == pytest.approx(expected[name], rel=1e-4), name
    assert row.scores["loss"] == pytest.approx(row.scores["number_loss"] + row.scores["kind_loss"], rel=1e-5)
    rows = kp.compare({"one": model, "two": two_outputs(form, 4)}, x, y, latency=False).rows  # as it was compiled
    assert rows[0].scores == pytest.approx(expected, rel=1e-4)
    assert set(rows[1].scores) == set(expected)


def test_several_outputs_that_cannot_be_judged():
    (x, kinds), model = data(), two_outputs("list")
    losses = ["mse", "sparse_categorical_crossentropy"]
    for y in ([np.ones((40, 1))], kinds, [np.ones((40, 2, 5)), kinds]):
        with pytest.raises(
            ValueError, match=r"(?s)The loss cannot be computed from outputs of shape.*Received: y of shape"
        ):
            kp.compare({"one": model}, x, y, loss=losses, latency=False)
    with pytest.raises(ValueError, match="A metric cannot be computed"):
        kp.compare({"one": model}, x, [np.ones((40, 1)), kinds], metrics=["mae", "mae", "mae"], latency=False)
    with pytest.raises(ValueError, match="Received: 'unheard of'"):
        kp.compare({"one": model}, x, kinds, metrics={"kind": ["unheard of"]})
    model.compile("sgd", losses)
    with pytest.raises(ValueError, match=r"one output.*Received: .* with 2"):
        kp.compare_methods(model, (x, [np.ones((40, 1)), kinds]), (x, [np.ones((40, 1)), kinds]))


@only_tensorflow
def test_a_file_of_several_outputs_is_judged_as_its_model(tmp_path):
    import tflite_export

    (x, kinds), model, path = data(), two_outputs(), tmp_path / "two.tflite"
    tflite_export.export(model, path)
    y = {"number": np.random.default_rng(2).normal(size=(40, 1)), "kind": kinds}
    loss, metrics = JUDGED["dict"]
    models = {"file": path, "keras": model}
    file, keras_row = kp.compare(models, x, y, loss=loss, metrics=metrics, latency=False).rows
    assert set(file.scores) == {"loss", "number_loss", "kind_loss", "number_mae", "kind_accuracy"}
    assert file.scores == pytest.approx(keras_row.scores, rel=1e-4)
    y = [y["kind"], y["number"]]  # without a model its outputs have no names: they are in the order of the file
    alone = kp.compare({"file": path}, x, y, loss=[loss["kind"], loss["number"]], latency=False).rows[0]
    assert alone.scores["loss"] == pytest.approx(file.scores["loss"], rel=1e-4)
