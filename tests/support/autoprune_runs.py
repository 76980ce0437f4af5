"""A small task for `autoprune`, and files that Keras computes in place of real ones."""

import dataclasses
import functools
import math
import types

import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import value

import keras_prune as kp
import tflite_export
from keras_prune.automation import proposals
from keras_prune.automation.fine_tuning import FineTuned
from keras_prune.automation.job import Job
from keras_prune.automation.pareto import Candidate
from keras_prune.insight.sensitivity.scan import Sensitivity, SensitivityCurve


def blobs(size, seed):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(4, 8)) * 2
    labels = rng.integers(0, 4, size)
    return (centres[labels] + rng.normal(size=(size, 8))).astype("float32"), labels


def compiled():
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, activation="relu", name="first"),
            layers.Dense(12, activation="relu", name="second"),
            layers.Dense(4, activation="softmax", name="output"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return model


@functools.cache
def trained():
    """The values of the weights of a trained model, and those of its optimizer: it is trained once."""
    model = compiled()
    model.fit(*blobs(400, 0), epochs=3, verbose=0)
    return [np.array(value(each)) for each in (*model.weights, *model.optimizer.variables)]


@pytest.fixture
def task():
    """A trained model, and its data."""
    values, model = trained(), compiled()
    for variable, each in zip([*model.weights, *model.optimizer.variables], values, strict=True):
        variable.assign(each)
    return model, blobs(400, 0), blobs(200, 1)


def bound_of(task, max_drop):
    """The bound of a search on this task."""
    model, _, (x, labels) = task
    return np.mean(model.predict(x, verbose=0).argmax(-1) == labels) - max_drop


@pytest.fixture
def quick(monkeypatch):
    """Files that hold nothing, and whose outputs are those of the Keras model beside them. Returns their names."""
    made = []

    def export(model, path, **options):
        made.append(path.stem)
        path.write_bytes(b"x" * 4 * model.count_params())
        size = sum(int(np.count_nonzero(value(weight))) for weight in model.weights)
        return types.SimpleNamespace(
            bytes=4 * model.count_params(), gzip_bytes=4 * size, latency_ms=model.count_params() / 100
        )

    def run(path, inputs):
        return keras.models.load_model(path.with_suffix(".keras")).predict(inputs, verbose=0)

    monkeypatch.setattr(tflite_export, "export", export)
    monkeypatch.setattr(tflite_export, "predict", run)
    return made


class Oracle:
    """Stands in for training, export and evaluation: what a candidate is worth is told by functions of its model.

    Attributes:
        score: Of a plain model and its epochs, the metric: higher is better.
        size: Of a plain model, the bytes of its file.
        half: Half of the confidence interval; None: it is unknown.
        sign: -1 where the metric should be low.
        values: Of an effort, the metric before the fine-tuning and after each epoch.
        trained: What was fine-tuned, in order.
        sized: How many files were made for their size alone.
        fatal: Name of the candidate at which the process dies.
        drops: Of the first, second, ... layer or channel group, the drop of the metric for each unit of its ratio.
    """

    def __init__(self):
        self.score = lambda model, epochs: 0.9
        self.size = lambda model: 4 * model.count_params() + 100
        self.half, self.sign, self.trained, self.sized, self.fatal = 0.01, 1, [], 0, ""
        self.drops = (0.1, 0.2, 0.3)
        self.values = lambda effort: (0.0,) * (effort.epochs + 1)

    def train(self, job, model, effort):
        self.trained.append(effort)
        return FineTuned(tuple(self.values(effort)), effort.epochs)

    def candidate(self, job, model, name, folder, done, epochs=0, allocation="", tuned=None, history=()):
        if name == self.fatal:
            raise KeyboardInterrupt
        plain = kp.strip_pruning(model)
        plain.save(folder / f"{name}.keras")
        metric = self.sign * self.score(plain, epochs)
        ends = (None, None) if self.half is None else (metric - self.half, metric + self.half)
        words = (folder / f"{name}.tflite", done, *ends, epochs, allocation, history)
        found = Candidate(name, metric, metric, *self._costs(plain), *words)
        return found, plain

    def costs(self, job, model, exported):
        self.sized += exported
        plain = kp.strip_pruning(model)
        return Candidate("probe", math.nan, math.nan, *self._costs(plain), None, "")

    def measure(self, scan, units, levels, kind, evaluation, *others):
        sign = 1 if evaluation.lower_is_better else -1
        curves = tuple(
            SensitivityCurve(unit.name, unit.size, tuple(sign * drop * level for level in levels), unit.patterns)
            for unit, drop in zip(units, self.drops, strict=False)
        )
        return Sensitivity(kind, evaluation.name, not evaluation.lower_is_better, 0.0, tuple(levels), curves)

    def _costs(self, plain):
        nonzeros = sum(int(np.count_nonzero(value(weight))) for weight in plain.weights)
        return self.size(plain), nonzeros, plain.count_params(), nonzeros, plain.count_params(), 1.0


@pytest.fixture
def oracle(monkeypatch):
    """An `Oracle` in place of scans, and of fine-tuning, export and evaluation of candidates."""
    found = Oracle()
    for name in ("train", "candidate", "costs"):
        monkeypatch.setattr(Job, name, lambda job, *args, name=name, **more: getattr(found, name)(job, *args, **more))
    monkeypatch.setattr(proposals, "measure", found.measure)
    return found


def search(task, output, **arguments):
    model, train, validation = task
    few_rounds = {"step": 0.6, "resolution": 0.9}
    given = {"max_drop": 0.03, "quantize": None, "fine_tune_epochs": 1, "verbose": 0, **few_rounds} | arguments
    return kp.autoprune(model, train, validation, output=output, **given)


def decided(result):
    """The decisions, without the time that they took."""
    return [dataclasses.replace(each, seconds=0) for each in result.decisions]
