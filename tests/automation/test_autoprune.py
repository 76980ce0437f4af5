"""`autoprune`: the search with files that Keras computes, on every backend, and once with real ones."""

import json
import re

import keras
import numpy as np
import pytest
from keras import layers
from support.autoprune_runs import blobs, decided, search
from support.example_runs import digits, run_example
from support.opaque import opaque
from support.versions import needs_keras
from support.zoo import BACKEND, batch, cnn, predict, subclassed, two_in_two_out, value

import keras_prune as kp
import tflite_export
from keras_prune.automation.fine_tuning import Effort
from keras_prune.automation.job import Job
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.evaluation import Evaluation, InMemory

CORE = pytest.mark.core


def accuracy(model, data):
    return float((model.predict(data[0], verbose=0).argmax(-1) == data[1]).mean())


@CORE
@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_what_is_printed(task, quick, tmp_path, capsys, verbose):
    """Standard output is no terminal: an epoch is a line, and no bar."""
    budget = kp.Budget(params=0.9)  # met by the first candidate
    search(
        task, tmp_path / "out", methods=["weights"], max_drop=0.5, budget=budget, fine_tune_epochs=2, verbose=verbose
    )
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    for line in ("dense: accuracy", "Epoch 2/2", "weights-1: uniform, accuracy"):
        assert (line in shown) is bool(verbose), line
    assert ("Sensitivity: 1 of" in shown) is (verbose == 2)


@CORE
def test_the_smallest_model_that_holds(task, quick, tmp_path):
    model, _, validation = task
    before = [np.array(value(each.value)) for each in [*model.variables, *model.optimizer.variables]]
    result = search(task, tmp_path / "out")
    assert result.met
    assert result.baseline == pytest.approx(accuracy(model, validation))
    assert result.bound == pytest.approx(result.baseline - 0.03)
    dense, best = result.front.candidates[0], result.best
    assert best.parameters < dense.parameters
    assert best.nonzeros < best.parameters
    assert result.model.count_params() == best.parameters
    assert sum(int(np.count_nonzero(value(each))) for each in result.model.weights) == best.nonzeros
    assert best.metric == pytest.approx(accuracy(result.model, validation))
    assert best.metric >= result.bound
    assert best.gzip_bytes == min(each.gzip_bytes for each in result.front.candidates if each.metric >= result.bound)
    for each in result.front.candidates:
        assert each.metric == pytest.approx(accuracy(each.load(), validation))
        assert each.path.is_file()
    # Each method began with what the one before had found, and its bound was its share.
    kinds = [each.candidate.split("-")[0] for each in result.decisions]
    assert kinds == sorted(kinds, key=["dense", "channels", "weights"].index)
    assert {kind: each.bound for kind, each in zip(kinds, result.decisions, strict=True)} == pytest.approx(
        {"dense": result.bound, "channels": result.baseline - 0.015, "weights": result.bound}
    )
    for each in result.decisions[1:]:
        assert (each.decision == "accepted") == (each.metric >= each.bound)
    for kind in ("channels", "weights"):
        assert f"{kind}: " in result.limit
    after = [value(each.value) for each in [*model.variables, *model.optimizer.variables]]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert kp.automation.ParetoFront.load(tmp_path / "out") == result.front
    for text in (best.name, "is met", str(result.path)):
        assert text in " ".join(str(result).split())
    # Called again it makes nothing new.
    count = len(quick)
    again = search(task, tmp_path / "out")
    assert len(quick) == count
    assert again.decisions == result.decisions
    assert all(map(np.array_equal, predict(again.model, validation[0]), predict(result.model, validation[0])))


@CORE
def test_a_run_that_was_killed_goes_on(task, quick, tmp_path, monkeypatch):
    whole = search(task, tmp_path / "whole")
    export, made = tflite_export.export, []
    for fatal in ("channels-2", "weights-1", ""):  # it dies twice

        def die(model, path, fatal=fatal, **options):
            if path.stem == fatal:
                raise KeyboardInterrupt
            return export(model, path, **options)

        monkeypatch.setattr(tflite_export, "export", die)
        quick.clear()
        if fatal:
            with pytest.raises(KeyboardInterrupt):
                search(task, tmp_path / "killed")
            assert json.loads((tmp_path / "killed/journal.json").read_text())["decisions"]
        else:
            resumed = search(task, tmp_path / "killed")
        made += quick
    assert made == [each.candidate for each in whole.decisions]  # nothing was made twice
    assert decided(resumed) == decided(whole)
    for a, b in zip(resumed.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(value(a), value(b))


def test_a_search_resumes_with_a_new_optimizer_of_the_same_settings(task, quick, tmp_path):
    """Keras numbers the names of optimizers in a process: "adam_1", "adam_2"."""
    arguments = {"methods": ["channels"], "fine_tune_epochs": 0}

    def optimizer(rate):
        schedule = keras.optimizers.schedules.ExponentialDecay(rate, 100, 0.9)
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(schedule))

    first = search(task, tmp_path / "out", optimizer=optimizer(0.01), **arguments)
    count = len(quick)
    assert search(task, tmp_path / "out", optimizer=optimizer(0.01), **arguments).decisions == first.decisions
    model, train, validation = task
    model.compile(keras.optimizers.Adam(0.01), model.loss, metrics=["accuracy"])  # compiled again in the same way
    again = search((model, train, validation), tmp_path / "out", optimizer=optimizer(0.01), **arguments)
    assert again.decisions == first.decisions
    assert len(quick) == count
    with pytest.raises(ValueError, match="search of another model"):
        search(task, tmp_path / "out", optimizer=optimizer(0.02), **arguments)


@CORE
def test_a_budget_ends_the_search(task, quick, tmp_path):
    result = search(task, tmp_path / "a", budget=kp.Budget(macs=0.6), max_drop=0.5)
    assert result.met
    assert result.best.macs <= 0.6 * result.front.candidates[0].macs
    assert result.best.macs > 0.5 * result.front.candidates[0].macs  # no less than was asked for
    assert [each.allocation for each in result.front.candidates] == ["", "uniform", "greedy"]  # no rounds on the way
    (row,) = result.budgets
    assert (row.name, row.asked, row.reached, row.met) == ("macs", 0.6, result.best.macs, True)
    assert row.limit == int(0.6 * result.front.candidates[0].macs)
    assert result.missed == ()
    result = search(task, tmp_path / "b", budget=kp.Budget(params=0.3), max_drop=0.5, methods=["weights"])
    assert result.met
    assert result.best.nonzeros <= 0.3 * result.front.candidates[0].parameters
    assert result.best.parameters == result.front.candidates[0].parameters


@CORE
def test_it_says_what_keeps_it_from_the_goal(task, quick, tmp_path):
    result = search(task, tmp_path / "a", budget=kp.Budget(macs=0.02), max_drop=0.02, fine_tune_epochs=0, step=0.9)
    assert not result.met
    assert "times the budget Budget(macs=0.02)" in result.limit
    assert "weights: skipped" in result.limit
    assert result.best.metric >= result.bound
    assert "NOT met" in str(result)
    assert str(result).startswith("The goal was not met: of those within the bound, ")
    assert result.missed[0].endswith(" comes nearest, and exceeds macs.")
    assert [row.met for row in result.budgets] == [False]


@CORE
def test_a_fine_tuning_that_ruins_a_model_is_undone(task, quick, tmp_path):
    keras.utils.set_random_seed(1)
    worse = keras.optimizers.SGD(1e6)  # nothing that trains with it holds
    result = search(task, tmp_path / "b", optimizer=worse, methods=["channels"], max_drop=0.0)
    before = np.concatenate([value(weight).ravel() for weight in task[0].weights])
    for each in result.front.candidates[1:]:
        assert each.epochs >= 1
        assert all(np.isin(value(weight), before).all() for weight in each.load().weights)  # as it was pruned
    assert "it is not" in result.limit


@CORE
def test_it_says_that_nothing_was_pruned(task, quick, tmp_path):
    result = search(task, tmp_path, methods=["channels"], max_drop=0.0, fine_tune_epochs=0, step=0.95, resolution=0.9)
    assert (result.met, result.best.name) == (False, "dense")
    assert {each.decision for each in result.decisions} == {"baseline", "rejected"}
    assert result.missed == ("Nothing was pruned: no pruned candidate is within the bound of the metric.",)
    assert str(result).startswith(result.missed[0])


def test_a_file_that_loses_too_much_is_told(task, quick, tmp_path, monkeypatch):
    model, _, validation = task
    monkeypatch.setattr(tflite_export, "predict", lambda path, inputs: np.eye(4)[np.zeros(len(inputs), int)])
    result = search(task, tmp_path / "out", methods=["channels"])
    assert not result.met
    assert "not even the unpruned model" in result.limit
    assert result.front.candidates[0].metric == pytest.approx((validation[1] == 0).mean())
    assert result.front.candidates[0].keras_metric == pytest.approx(accuracy(model, validation))


def test_an_export_that_fails_is_a_rejected_candidate(task, quick, tmp_path, monkeypatch):
    export = tflite_export.export

    def fail(model, path, **options):
        if path.stem == "channels-1":
            raise tflite_export.ExportError("cannot be quantised")
        return export(model, path, **options)

    monkeypatch.setattr(tflite_export, "export", fail)
    result = search(task, tmp_path / "out", methods=["channels"], max_drop=0.5)
    assert result.decisions[1].reason == "the export failed: cannot be quantised"
    assert result.decisions[1].metric is None
    # The other allocation of the round, then less.
    assert result.decisions[2].kept >= result.decisions[1].kept
    assert result.decisions[2].candidate not in ("dense", "channels-1")
    assert result.met


def test_time(task, quick, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"time_limit. is too short.*Received: time_limit=0.01"):
        search(task, tmp_path / "out", time_limit=0.01)
    export = tflite_export.export

    def die(model, path, **options):
        if path.stem == "channels-2":
            raise KeyboardInterrupt
        return export(model, path, **options)

    monkeypatch.setattr(tflite_export, "export", die)
    with pytest.raises(KeyboardInterrupt):
        search(task, tmp_path / "out")
    result = search(task, tmp_path / "out", time_limit=0.01)  # there is one candidate: no error
    assert [each.candidate for each in result.decisions] == ["dense", "channels-1"]
    assert "channels-2" in result.limit
    assert "time limit of 0.01 s" in result.limit


def test_others_files_are_left_alone(task, quick, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for output, message in ((tmp_path / "mine", "never overwritten"), (tmp_path / "file", "which is a file")):
        with pytest.raises(ValueError, match=message):
            search(task, output)
    with pytest.raises(ValueError, match="cannot be written"):
        search(task, tmp_path / "file/below")
    search(task, tmp_path / "out", methods=["channels"])
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    model, train, validation = task
    others = [
        ((model, train, blobs(200, 5)), {}, r"and validation_data=\S+, and it was made with \S+$"),
        ((model, blobs(400, 5), validation), {}, r"and train_data=\S+, and it was made with \S+$"),
        (task, {"max_drop": 0.04}, r"and max_drop=0.04, and it was made with 0.03$"),
        (task, {"seed": 1, "step": 0.25}, "and step=0.25, and it was made with .*; seed=1, and it was made with 0$"),
    ]
    for other, arguments, differs in others:
        with pytest.raises(ValueError, match=f"search of another model.*{differs}"):
            search(other, tmp_path / "out", methods=["channels"], **arguments)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": 3}, TypeError, "model=3"),
        ({"model": "masked"}, ValueError, "pruning masks"),
        ({"model": "subclassed"}, ValueError, "loss"),  # it is written out; nobody compiled it
        ({"train_data": (np.zeros((4, 7)), np.zeros(4))}, ValueError, r"`train_data`.*\(4, 7\)"),
        ({"train_data": np.zeros((4, 8))}, ValueError, "`train_data`"),
        ({"validation_data": ({"image": np.zeros((4, 8))}, np.zeros(4))}, ValueError, "does not fit"),
        ({"validation_data": (np.zeros((4, 8)), np.zeros((4, 3)))}, ValueError, r"y of shape \(4, 3\)"),
        ({"validation_data": (np.zeros((4, 8)), np.zeros(5))}, ValueError, "one entry for each sample"),
        ({"metric": "f1"}, ValueError, r"it has \['accuracy', 'loss'\]"),
        ({"max_drop": -0.1}, ValueError, "max_drop=-0.1"),
        ({"budget": 0.5}, TypeError, "budget=0.5"),
        ({"budget": kp.Budget(macs=0.5), "methods": ["weights"]}, ValueError, "add the method"),
        ({"model": "unknown", "budget": kp.Budget(macs=0.5)}, ValueError, r"'twice': no rule.*Received: Budget"),
        ({"methods": "channels"}, ValueError, "methods='channels'"),
        ({"methods": []}, ValueError, "methods="),
        ({"quantize": "int4"}, ValueError, "quantize='int4'"),
        ({"quantize": None, "input_type": "int8"}, ValueError, "input_type.*float32.*quantize=None.*'int8'"),
        ({"quantize": "int8", "output_type": "int16"}, ValueError, "output_type.*uint8.*'int16'"),
        ({"verbose": 3}, ValueError, 'must be 0, 1, 2 or "auto"'),
        ({"fine_tune_epochs": 1.5}, ValueError, "fine_tune_epochs=1.5"),
        ({"optimizer": "best"}, ValueError, "optimizer='best'"),
        ({"step": 1.0}, ValueError, "step=1.0"),
        ({"time_limit": 0}, ValueError, "time_limit=0"),
        ({"output": 3}, TypeError, "output=3"),
    ],
    ids=lambda given: str(list(given)) if isinstance(given, dict) else "",
)
def test_bad_input(task, quick, tmp_path, arguments, error, message):
    model, train, validation = task
    made = {"masked": lambda: kp.wrap_pruning(model), "subclassed": lambda: subclassed(8)}
    made["unknown"] = lambda: keras.Sequential(
        [model, layers.Lambda(lambda x: opaque(x) * 2, output_shape=(3,), name="twice"), layers.Dense(4)]
    )
    given = {"model": model, "train_data": train, "validation_data": validation, "output": tmp_path / "out"}
    given |= {key: made[each]() if str(each) in made else each for key, each in arguments.items()}
    with pytest.raises(error, match=message):
        kp.autoprune(given.pop("model"), given.pop("train_data"), given.pop("validation_data"), **given)
    assert not (tmp_path / "out").exists()


@CORE
# Before Keras 3.14, metrics do not find outputs by the keys of a dict.
@pytest.mark.parametrize("build", [cnn, pytest.param(two_in_two_out, marks=needs_keras("3.14"))])
@pytest.mark.parametrize("metric", [None, "loss"])
def test_the_metric_of_outputs_is_that_of_the_model(build, metric):
    """What is measured of a file is what Keras measures, weights of samples and of losses included."""
    model = build()
    x, rng = batch(model, 30), np.random.default_rng(0)
    y = keras.tree.map_structure(lambda out: rng.normal(size=np.shape(out)), model.predict(x, verbose=0))
    multiple = isinstance(y, dict)
    weights = None if multiple else rng.uniform(size=30)
    metrics = {name: ["mae"] for name in y} if multiple else ["mae"]
    loss, loss_weights = ({"x": "mse", "y": "mae"}, {"x": 0.3, "y": 2.0}) if multiple else ("mse", None)
    model.compile("adam", loss, metrics=metrics, loss_weights=loss_weights)
    running = copy_to_measure(model)[1]
    evaluation = Evaluation(running, model, (x, y, weights), metric, batch_size=8)
    measured = evaluation.of_outputs(running, predict(model, x))
    assert measured == pytest.approx(evaluation.baseline, rel=1e-5)
    theirs = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert measured == pytest.approx(theirs[evaluation.name], rel=1e-5)


def test_forms_of_training_data(task):
    model, (x, y), validation = task
    evaluation = Evaluation(copy_to_measure(model)[1], model, validation)
    dataset = [(x[:40], y[:40]), (x[40:60], y[40:60])]
    found = []
    for data in ((x[:60], y[:60]), dataset, InMemory([(*each, None) for each in dataset])):
        job = Job(model, data, evaluation, None, keras.optimizers.SGD(0.1), None, 1, 60, 0)
        copy = kp.strip_pruning(model)
        assert job.train(copy, Effort(1, 1)).epochs == 1
        found.append(copy.optimizer.iterations)
        assert job.inputs(copy).shape == (60, 8)
    assert list(map(int, found)) == [1, 2, 2]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="real files are made on TensorFlow")
def test_with_a_real_int8_file(task, tmp_path):
    validation = task[2]
    budget = kp.Budget(params=0.7)
    types = {"input_type": "int8", "output_type": "uint8"}
    result = search(task, tmp_path / "out", quantize="int8", methods=["channels"], max_drop=0.2, budget=budget, **types)
    assert result.met
    assert [each.name for each in result.front.candidates] == ["dense", "channels-1"]
    scores = tflite_export.predict(result.path, validation[0])
    assert result.best.metric == pytest.approx((scores.argmax(-1) == validation[1]).mean())
    assert result.best.bytes == result.path.stat().st_size < result.front.candidates[0].bytes
    kernels = [tensor for tensor in tflite_export.inspect(result.path).tensors if len(tensor.shape) == 2]
    assert {kernel.dtype for kernel in kernels} == {"int8"}
    for candidate in result.front.candidates:
        report = tflite_export.inspect(candidate.path)
        assert [port.dtype for port in (*report.inputs, *report.outputs)] == ["int8", "uint8"]


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="the example makes files, which needs TensorFlow")
def test_the_example(tmp_path):
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), (*digits(700, 1), *digits(80, 2)), strict=True))
    np.savez(tmp_path / "data.npz", **arrays)
    flags = "--smoke", f"--data={tmp_path / 'data.npz'}", f"--output={tmp_path / 'new'}", "--methods=channels"
    done = run_example(tmp_path, *flags, script="autoprune_mnist")
    assert done.returncode == 0, done.stderr
    front = kp.automation.ParetoFront.load(tmp_path / "new/search")
    dense, best = re.findall(r"^ +(?:dense|best: \S+) +(\S+)% +(\S+)% +(\S+) +(\S+) +(\S+) *$", done.stdout, re.M)
    assert int(dense[2].replace(",", "")) == front.candidates[0].parameters
    scores = tflite_export.predict(front.candidates[0].path, arrays["x_test"][..., None] / 255.0)
    assert float(dense[1]) == pytest.approx(100 * (scores.argmax(-1) == arrays["y_test"]).mean(), abs=0.01)
    assert int(best[3].replace(",", "")) in [each.bytes for each in front.candidates]
    assert (tmp_path / "new/front.png").is_file()
    assert [path.name for path in (tmp_path / "cwd").iterdir()] == []
