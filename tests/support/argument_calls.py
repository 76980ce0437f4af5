"""Calls of every public function and class with one argument that is wrong, and what came of them."""

import contextlib
import functools
import inspect
import io
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from support.search_results import search_result

import keras_prune as kp
import tflite_export
from keras_prune import plots, tfmot
from keras_prune.automation import ParetoFront

X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
Y = np.arange(8) % 3
DATA = (X, Y)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

# Each stands for a mistake: a forgotten value, a number out of range or of another kind, text for a number or a
# choice, one thing for many, another object of Keras, something that no call could use.
WRONG: Mapping[str, Any] = {
    "None": None,
    "True": True,
    "-1": -1,
    "1.5": 1.5,
    "NaN": math.nan,
    "infinity": math.inf,
    "empty text": "",
    "text": "x",
    "bytes": b"x",
    "empty list": [],
    "list of text": ["x"],
    "empty dict": {},
    "dict": {"x": "y"},
    "object": object(),
    "class": int,
    "function": lambda: None,
    "layer": layers.Dense(1),
    "array": np.zeros(3, "float32"),
    "NaNs": np.full((8, 6), np.nan, "float32"),
}


class Own(layers.Layer):
    """A class for `register_prunable` and `register_rule`."""


def small_model() -> keras.Model:
    """Two dense layers, compiled."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu", name="first"), layers.Dense(3, name="second")])
    model.compile("sgd", LOSS, metrics=["accuracy"])
    return model


def _pruned() -> keras.Model:
    return kp.prune_weights(small_model(), 0.5)


def _residual() -> keras.Model:
    inputs = keras.Input((6,))
    x = layers.Dense(6, name="first")(inputs)
    model = keras.Model(inputs, layers.Add()([x, layers.Dense(6, name="branch")(x)]))
    model.compile("sgd", "mse")
    return model


def _ramp() -> dict[str, Any]:
    return {"final_sparsity": 0.5, "end_step": 4}


def _stateless() -> dict[str, Any]:
    model = _pruned()
    variables = model.trainable_variables, model.non_trainable_variables
    names = ("trainable_variables", "non_trainable_variables")
    return {"model": model, **{name: [v.value for v in each] for name, each in zip(names, variables, strict=True)}}


@functools.cache
def _file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        tflite_export.export(small_model(), f"{folder}/model.tflite")
        return Path(folder, "model.tflite").read_bytes()


def _path(folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(_file())
    return path


def _legacy(folder: Path) -> Path:
    path = folder / "old.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says that this format is a legacy one
        small_model().save(path)
    return path


def _packed(folder: Path) -> dict[str, Any]:
    tflite_export.pack(_path(folder))
    return {"path": folder / "model.tflite.xz", "out": folder / "unpacked.tflite"}


def _model(folder: Path) -> dict[str, Any]:
    return {"model": small_model()}


def _data_of(name: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: {"model": small_model(), name: DATA}


# The arguments that a right call cannot do without; all others have defaults.
REQUIRED: Mapping[Any, Callable[[Path], dict[str, Any]]] = {
    kp.Block: lambda folder: {"shape": (1, 2)},
    kp.Budget: lambda folder: {"macs": 0.5},
    kp.ChannelImportance: lambda folder: {},
    kp.ConstantSparsity: lambda folder: {"target_sparsity": 0.5},
    kp.CosineDecay: lambda folder: _ramp(),
    kp.ExponentialDecay: lambda folder: _ramp(),
    kp.HoldAccuracy: lambda folder: {},
    kp.IterativeMagnitude: lambda folder: {"model": kp.wrap_pruning(small_model()), "final_sparsity": 0.5, "rounds": 2},
    kp.IterativePruning: lambda folder: {"model": small_model(), "steps": 2, "ratio": 0.5},
    kp.MeanThreshold: lambda folder: {"deviations": 0.5},
    kp.NByM: lambda folder: {"n": 1, "m": 2},
    kp.Percentile: lambda folder: {},
    kp.PolynomialDecay: lambda folder: _ramp(),
    kp.PruningBoard: lambda folder: {"log_dir": folder / "logs"},
    kp.PruningSchedule: lambda folder: {"schedule": kp.ConstantSparsity(0.5)},
    kp.RelativeThreshold: lambda folder: {"fraction": 0.5},
    kp.RewindPoint: lambda folder: {"step": 1},
    kp.RigL: lambda folder: {"end_step": 4},
    kp.SET: lambda folder: {"end_step": 4},
    kp.SparseCheckpoint: lambda folder: {"filepath": folder / "best.keras"},
    kp.StdThreshold: lambda folder: {"factor": 0.5},
    kp.StepDecay: lambda folder: _ramp(),
    kp.Threshold: lambda folder: {"value": 0.5},
    kp.analyze_channels: _model,
    kp.analyze_layers: _model,
    kp.apply_masks: lambda folder: {"model": _pruned()},
    kp.autoprune: lambda folder: {
        "model": small_model(),
        "train_data": DATA,
        "validation_data": DATA,
        "output": folder / "found",
        "methods": ("weights",),
        "max_drop": 0.9,
    },
    kp.cluster_weights: lambda folder: {"model": small_model(), "clusters": 2},
    kp.compare: lambda folder: {"models": {"dense": small_model()}, "latency": False},
    kp.compare_methods: lambda folder: {
        "model": small_model(),
        "data": DATA,
        "validation_data": DATA,
        "methods": ("weights",),
        "points": (0.5,),
    },
    kp.copy_masks: lambda folder: {"source": _pruned(), "target": kp.wrap_pruning(small_model())},
    kp.cost: _model,
    kp.expand: _model,
    kp.explain: lambda folder: {"before": small_model(), "after": kp.prune_channels(small_model(), 0.5)},
    kp.layer_errors: lambda folder: {"model": small_model(), "data": X},
    kp.load_legacy: lambda folder: {"path": _legacy(folder)},
    kp.prune_channels: lambda folder: {"model": small_model(), "ratio": 0.5},
    kp.prune_layers: lambda folder: {"model": _residual(), "ratio": 0.5},
    kp.prune_weights: lambda folder: {"model": small_model(), "sparsity": 0.5},
    kp.refit: lambda folder: {"model": _pruned(), "data": X, "original": small_model()},
    kp.register_prunable: lambda folder: {"cls": Own, "weights": ["kernel"]},
    kp.sensitivity: lambda folder: {"model": small_model(), "data": DATA, "ratios": (0.5,)},
    kp.stateless_apply_masks: lambda folder: _stateless(),
    kp.strip_pruning: lambda folder: {"model": _pruned()},
    kp.summary: lambda folder: {"model": _pruned()},
    kp.wrap_pruning: _model,
    plots.plot_autoprune: lambda folder: {"result": search_result()},
    plots.plot_channel_groups: lambda folder: {"analysis": kp.analyze_channels(small_model())},
    plots.plot_channels: lambda folder: {"report": kp.prune_channels(small_model(), 0.5).report},
    plots.plot_cost: lambda folder: {"cost": kp.cost(small_model())},
    plots.plot_decisions: lambda folder: {"decisions": search_result().decisions},
    plots.plot_expansion: lambda folder: {"expansion": kp.expansion.report(kp.expand(small_model()))},
    plots.plot_explanation: lambda folder: {"explanation": kp.explain(small_model(), _pruned())},
    plots.plot_layer_candidates: lambda folder: {"analysis": kp.analyze_layers(_residual())},
    plots.plot_layer_errors: lambda folder: {"errors": kp.layer_errors(small_model(), X)},
    plots.plot_layers: lambda folder: {"report": kp.prune_layers(_residual(), ratio=0.5).report},
    plots.plot_report: lambda folder: {"report": kp.cost(small_model())},
    plots.plot_models: lambda folder: {"comparison": kp.compare({"a": small_model(), "b": _pruned()}, latency=False)},
    plots.plot_pareto: lambda folder: {"found": ParetoFront((), "loss", higher_is_better=False)},
    plots.plot_sensitivity: lambda folder: {"found": kp.sensitivity(small_model(), DATA, ratios=(0.5,))},
    plots.plot_methods: lambda folder: {
        "comparison": kp.compare_methods(small_model(), DATA, DATA, methods="weights", points=(0.5,), epochs=0)
    },
    plots.plot_mask: lambda folder: {"kept": np.ones((4, 4), bool)},
    plots.plot_ranks: lambda folder: {"scores": np.arange(4.0), "pruned": np.arange(4) < 2},
    plots.plot_scores: lambda folder: {"scores": np.arange(4.0), "pruned": np.arange(4) < 2},
    plots.plot_sparsity: lambda folder: {"summary": kp.summary(_pruned())},
    tfmot.ConstantSparsity: lambda folder: {"target_sparsity": 0.5, "begin_step": 0},
    tfmot.PolynomialDecay: lambda folder: {
        "initial_sparsity": 0.0,
        "final_sparsity": 0.5,
        "begin_step": 0,
        "end_step": 4,
    },
    tfmot.PruneLowMagnitude: lambda folder: {"layer": layers.Dense(3)},
    tfmot.PruningSummaries: lambda folder: {"log_dir": folder / "logs"},
    tfmot.prune_low_magnitude: lambda folder: {"to_prune": small_model()},
    tfmot.strip_pruning: lambda folder: {"model": _pruned()},
    tflite_export.benchmark: lambda folder: {"paths": _path(folder), "runs": 1},
    tflite_export.check_micro: lambda folder: {"path": _path(folder)},
    tflite_export.check_sparse_speed: _model,
    tflite_export.compare: lambda folder: {"a": _path(folder), "b": _path(folder), "data": X},
    tflite_export.export: lambda folder: {"model": small_model(), "path": folder / "new.tflite"},
    tflite_export.inspect: lambda folder: {"path": _path(folder)},
    tflite_export.micro_resolver: lambda folder: {"path": _path(folder)},
    tflite_export.pack: lambda folder: {"path": _path(folder), "out": folder / "packed.tflite.xz"},
    tflite_export.predict: lambda folder: {"path": _path(folder), "inputs": X},
    tflite_export.to_c_array: lambda folder: {"path": _path(folder), "out": folder / "array.cc"},
    tflite_export.unpack: _packed,
}


# A function of the user's own that raises: its error is for the user.
USERS_OWN = frozenset({"importance", "layers"})


@dataclass(frozen=True)
class Call:
    """A call with one wrong argument. `str` of it names it."""

    function: Any
    argument: str
    wrong: str

    def __str__(self) -> str:
        return f"{self.function.__module__.split('.')[0]}.{self.function.__name__}({self.argument}={self.wrong})"

    @property
    def is_users_error(self) -> bool:
        """Whether what may raise is a function that the user passed."""
        return self.wrong in ("function", "class", "layer") and self.argument in USERS_OWN

    def __call__(self, folder: Path) -> str:
        """Call it; return "" if it took the argument, else the error as text."""
        given = REQUIRED[self.function](folder)
        before = _files(folder)
        models = [value for value in given.values() if isinstance(value, keras.Model)]
        weights = [_weights(model) for model in models]
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                self.function(**{**given, self.argument: WRONG[self.wrong]})
        except Exception as error:
            if _files(folder) != before and self.argument != "time_limit":  # then what was measured is kept
                return f"WROTE {set(_files(folder)) - set(before)} and then {type(error).__name__}: {error}"
            if not all(map(np.array_equal, weights, map(_weights, models))):
                return f"CHANGED a model and then {type(error).__name__}: {error}"
            return f"{type(error).__name__}: {error}"
        return ""


def calls() -> Iterator[Call]:
    """All of them."""
    for function in REQUIRED:
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD:
                for wrong, value in WRONG.items():
                    if type(value) is not type(parameter.default) or value != parameter.default:
                        yield Call(function, name, wrong)


def _weights(model: keras.Model) -> np.ndarray:
    return np.concatenate([array.ravel() for array in model.get_weights()])


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
