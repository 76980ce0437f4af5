"""Every class of results that the packages return, found in their public names, and an object of each."""

import dataclasses
import inspect
import pathlib
import sys
import typing

import keras
import numpy as np
from support.zoo import nested

import keras_prune as kp
import tflite_export

# What users make themselves, to say what they want: its `repr` is what they wrote.
SETTINGS = (
    kp.ChannelImportance,
    kp.ConstantSparsity,
    kp.StepDecay,
    kp.schedules.RampSchedule,
    kp.selection.Candidate,
    kp.selection.Selection,
    kp.weights.Regrowth,
)


def result_classes():
    """The dataclasses among the public names of both packages and of their rooms, and those in their fields."""
    todo = [getattr(tflite_export, name) for name in tflite_export.__all__]
    for name in kp.__all__:
        value = getattr(kp, name)
        todo += (
            [getattr(value, inner) for inner in getattr(value, "__all__", ())] if inspect.ismodule(value) else [value]
        )
    found = {}
    while todo:
        each = todo.pop()
        todo += typing.get_args(each)  # of `tuple[LayerCost, ...]`
        if _is_result(each) and each not in found:
            found[each] = None
            todo += _hints(each)
    return list(found)


def _is_result(value):
    ours = inspect.isclass(value) and value.__module__.split(".")[0] in ("keras_prune", "tflite_export")
    return ours and dataclasses.is_dataclass(value) and not issubclass(value, SETTINGS)


def _hints(cls):
    """The types of the public fields that are printed."""
    hints = typing.get_type_hints(cls, {**vars(sys.modules[cls.__module__]), "keras": keras})
    public = [field.name for field in dataclasses.fields(cls) if field.repr and not field.name.startswith("_")]
    return [hints[name] for name in public]


def model_and_data(name="residual"):
    """A small compiled model with a branch to remove, and data for it."""
    inputs = keras.Input((8,), name="features")
    hidden = keras.layers.Dense(8, activation="relu", name="first")(inputs)
    hidden = hidden + keras.layers.Dense(8, activation="relu", name="branch")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="output")(hidden), name=name)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    return model, rng.normal(size=(32, 8)).astype("float32"), rng.integers(0, 2, 32)


def made_results(folder):
    """An object of each class of results, by class; files go to the folder."""
    folder = pathlib.Path(folder)
    model, x, y = model_and_data()
    masked = kp.prune_weights(model, 0.5)
    channels, layers = kp.prune_channels(model, 0.5), kp.prune_layers(model, ratio=0.5)
    found = [
        kp.Budget(macs=0.5),
        kp.summary(masked),
        kp.cost(model),
        channels,
        kp.prune_channels(model, budget=kp.Budget(params=0.6)).report,
        layers,
        kp.analyze_channels(model),
        kp.analyze_layers(model),
        *(kp.explain(model, each) for each in (masked, channels, layers)),
        kp.sensitivity(model, (x, y), ratios=(0.3, 0.6)),
        kp.compare({"dense": model, "small": channels.model}, x, y, latency=False),
        kp.compare_methods(model, (x, y), (x, y), methods=["channels"], points=[0.6], epochs=0),
        kp.prune_channels(model, threshold=1.0),
        kp.prune_channels(model, 0.5, compensate=x),
        kp.analyze_channels(_with_weight()).trace.found,
        kp.layer_errors(model, x),
        kp.expansion.report(kp.expand(nested())),
        *kp.expansion.report(kp.expand(nested())).layers,
        kp.importance.CRITERIA["l2"],
        kp.weights.PruningRound(0, 0.5, 0.5),
        kp.measurement.ActivationStats(*np.ones((3, 4))),
        *_of_searches(folder),
        *_of_files(model, x, folder),
    ]
    return _by_class(found)


def _with_weight():
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs * kp.expansion.Weight((8,))(inputs)))


def _of_searches(folder):
    """What searches return, made by hand: they take long."""
    from keras_prune.automation import AutopruneResult, Candidate, Decision, Decisions, ParetoFront
    from keras_prune.callbacks.hold_accuracy import Decision as Held
    from keras_prune.reporting.records import Records

    dense = Candidate("dense", 0.9, 0.9, 1000, 500, 90, 90, 900, 0.1, folder / "dense.tflite", "nothing")
    small = dataclasses.replace(dense, name="weights-1", metric=0.89, gzip_bytes=300, done="60% of the weights")
    decisions = Decisions("accuracy", (Decision("weights-1", 0.4, 0.89, 0.88, "accepted", "it holds", 1.0),))
    front = ParetoFront((dense, small), "accuracy", True)
    whole = AutopruneResult(model_and_data()[0], small, front, decisions, True, "The end.", 0.9, 0.88)
    named = dict.fromkeys(("target", "sparsity", "metric", "bound", "kept", "left"), 0.5)
    held = Held(**{each.name: named.get(each.name, 1) for each in dataclasses.fields(Held)})
    return [whole, Records([held])]


def _of_files(model, x, folder):
    """What `tflite_export` returns."""
    path = folder / "model.tflite"
    kernel = tflite_export.KernelSpeed("branch", (8, 8), 0.5, 0.0, (), True, "")
    return [
        tflite_export.export(model, path, inputs=x, overwrite=True, sparse=False),
        tflite_export.inspect(path),
        tflite_export.benchmark(path, runs=2),
        tflite_export.compare(path, model, x),
        tflite_export.pack(path, overwrite=True),
        tflite_export.to_c_array(path, folder / "model_data.cc", overwrite=True),
        tflite_export.SparseSpeed((kernel,), ("padding",)),
        tflite_export.MicroReport(path, 1000, (), False, None, 0, None),
    ]


def _by_class(todo):
    """Of these objects, and of what stands in their fields, one of each class."""
    found, seen = {}, set()
    todo = list(reversed(todo))
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, dict | tuple | list):
            todo += each.values() if isinstance(each, dict) else each
        if dataclasses.is_dataclass(each) and not isinstance(each, type):
            found.setdefault(type(each), each)
            todo += [getattr(each, field.name) for field in dataclasses.fields(each) if field.repr]
        elif type(each).__name__ == "Records":
            found.setdefault(type(each), each)
    return found
