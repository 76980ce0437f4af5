"""A small task for `autoprune`, and files that Keras computes in place of real ones."""

import dataclasses
import types

import keras
import numpy as np
import pytest
from keras import layers
from support.zoo import value

import keras_prune as kp
import tflite_export


def blobs(size, seed):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(4, 8)) * 2
    labels = rng.integers(0, 4, size)
    return (centres[labels] + rng.normal(size=(size, 8))).astype("float32"), labels


@pytest.fixture
def task():
    """A trained model, and its data."""
    train, validation = blobs(400, 0), blobs(200, 1)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, activation="relu", name="first"),
            layers.Dense(12, activation="relu", name="second"),
            layers.Dense(4, activation="softmax", name="output"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*train, epochs=3, verbose=0)
    return model, train, validation


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


def search(task, output, **arguments):
    model, train, validation = task
    few_rounds = {"step": 0.6, "resolution": 0.9}
    given = {"max_drop": 0.03, "quantize": None, "fine_tune_epochs": 1, "verbose": 0, **few_rounds} | arguments
    return kp.autoprune(model, train, validation, output=output, **given)


def decided(result):
    """The decisions, without the time that they took."""
    return [dataclasses.replace(each, seconds=0) for each in result.decisions]
