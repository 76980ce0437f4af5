"""The end of the pruning examples: fine-tuned models, a table of accuracy, size and latency, and files."""

from pathlib import Path
from typing import Any

import helpers
import keras
import numpy as np
from absl import flags

import keras_prune as kp
import tflite_export

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # `--helpshort` of a script lists what it defines by means of this file
FREQUENCY = 10  # training steps between two updates of the masks


def define_flags(sparsity: float, ratio: float | None = None) -> None:
    """Defines the flags for pruning.

    Args:
        sparsity: The default of `--sparsity`.
        ratio: The default of `--ratio`. Defaults to None: there is no such flag.
    """
    flags.DEFINE_enum(
        "prune",
        "weights",
        ["weights", "channels"],
        "What is pruned: weights, which become zero, or channels, which are removed.",
    )
    flags.DEFINE_float(
        "sparsity", sparsity, "Fraction of the prunable weights that becomes zero, in [0, 1); with --prune=weights."
    )
    helpers.check_flag("sparsity", lambda value: 0 <= value < 1, "in [0, 1)")
    only_with("weights", "sparsity")
    if ratio is not None:
        flags.DEFINE_float(
            "ratio", ratio, "Fraction of the channels that is removed, in (0, 1); with --prune=channels."
        )
        helpers.check_flag("ratio", lambda value: 0 < value < 1, "in (0, 1)")
        only_with("channels", "ratio")

    @flags.multi_flags_validator(["prune", "finetune_epochs"])
    def check(values: dict[str, Any]) -> bool:
        if values["prune"] == "weights" and not values["finetune_epochs"]:
            raise flags.ValidationError("--prune=weights needs epochs to prune in. Received: --finetune_epochs=0")
        return True


def only_with(prune: str, *names: str) -> None:
    """Makes it an error to give these flags with another `--prune`."""

    @flags.multi_flags_validator(["prune", *names])
    def check(values: dict[str, Any]) -> bool:
        for name in names:
            if values["prune"] != prune and FLAGS[name].present:
                raise flags.ValidationError(
                    f"--{name} needs --prune={prune}. Received: --prune={values['prune']} --{name}={values[name]}"
                )
        return True


class Comparison:
    """Comparison of pruned and dense models, all fine-tuned for as long: a table of accuracy, size and latency."""

    def __init__(self, data: helpers.Data):
        self._data = data
        self._rows: dict[str, list[tuple[float, int, int]]] = {}

    def add_weights(self, dense: keras.Model, x: Any, y: np.ndarray | None = None) -> None:
        """Prunes the weights of a copy to `--sparsity` while it is fine-tuned for `--finetune_epochs`.

        Args:
            dense: The trained model.
            x: Training data; see `helpers.train`.
            y: Their labels; see `helpers.train`.
        """
        self._test("dense", dense)
        model = kp.wrap_pruning(dense)
        # Pruned in the first half of the steps; the other half recovers the accuracy.
        half = max(1, helpers.count_steps(FLAGS.finetune_epochs, x, y) // 2)
        schedule = kp.PolynomialDecay(final_sparsity=FLAGS.sparsity, end_step=half)
        self._train(model, x, y, kp.PruningSchedule(schedule, frequency=FREQUENCY))
        self._end(dense, kp.strip_pruning(model), kp.summary(model), x, y)

    def add_channels(self, dense: keras.Model, result: Any, x: Any, y: np.ndarray | None = None) -> None:
        """Tests a smaller model, before and after it is fine-tuned.

        Args:
            dense: The trained model.
            result: The result of `kp.prune_channels` for it.
            x: Training data; see `helpers.train`.
            y: Their labels; see `helpers.train`.
        """
        self._test("dense", dense)
        self._test("pruned", result.model)
        self._train(result.model, x, y)
        self._end(dense, result.model, result, x, y)

    def finish(self) -> None:
        """Prints the report of the last run and the table of all runs, and writes the last two models."""
        print(self._report)
        reports = {row: write(row.partition(",")[0], model, self._data) for row, model in self._last.items()}
        part = "held-out accuracy" if FLAGS.holdout else "test accuracy"
        headings = ("model", part, "parameters", "non-zeros", ".tflite bytes", "gzip bytes", "latency, ms")
        helpers.print_table(headings, [(row, *_cells(runs, reports.get(row))) for row, runs in self._rows.items()])
        if FLAGS.seeds > 1:
            print(f"Accuracy: the mean of {FLAGS.seeds} seeds, the lowest and the highest. Files: of the last seed.")

    def _train(self, model: keras.Model, x: Any, y: np.ndarray | None, *callbacks: keras.callbacks.Callback) -> None:
        helpers.train(model, FLAGS.finetune_epochs, FLAGS.finetune_learning_rate, x, y, callbacks)

    def _end(self, dense: keras.Model, pruned: keras.Model, report: Any, x: Any, y: np.ndarray | None) -> None:
        """Ends a run: the dense model is fine-tuned too, for a fair comparison."""
        self._test("pruned, fine-tuned", pruned)
        self._report, self._last = report, {"dense": dense, "pruned, fine-tuned": pruned}
        if FLAGS.control:
            self._train(dense, x, y)
            self._test("dense, fine-tuned", dense)
            self._last = {"pruned, fine-tuned": pruned, "dense, fine-tuned": dense}

    def _test(self, row: str, model: keras.Model) -> None:
        labels = model.predict(self._data.x_test, batch_size=500, verbose=0).argmax(-1)
        accuracy, counts = float(np.mean(labels == self._data.y_test)), kp.summary(model)
        self._rows.setdefault(row, []).append((accuracy, counts.parameters, counts.parameters - counts.zeros))
        print(f"{row}: {accuracy:.2%}", flush=True)


def _cells(runs: list[tuple[float, int, int]], file: tflite_export.ExportReport | None) -> list[str]:
    accuracies, *counts = zip(*runs, strict=True)
    spread = f" ({min(accuracies):.2%}-{max(accuracies):.2%})" if len(runs) > 1 else ""
    means = (f"{round(np.mean(count)):,}" for count in counts)
    of_file = ["-"] * 3 if file is None else [f"{file.bytes:,}", f"{file.gzip_bytes:,}", f"{file.latency_ms:.3f}"]
    return [f"{np.mean(accuracies):.2%}{spread}", *means, *of_file]


def write(name: str, model: keras.Model, data: helpers.Data) -> tflite_export.ExportReport | None:
    """Writes a model as `.keras` and, on TensorFlow, as a `.tflite` file that is run and compared with it."""
    folder = Path(FLAGS.output)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / f"{name}.keras")
    if keras.backend.backend() != "tensorflow":
        print(f"Written: {folder / name}.keras. With KERAS_BACKEND=tensorflow also as .tflite.")
        return None
    # Zeros are stored in the file like other weights: its size shows removed channels, the gzipped size zeros too.
    path = folder / f"{name}.tflite"
    report = tflite_export.export(model, path, inputs=data.x_test, sparse=False, overwrite=True)
    print(f"Written: {folder / name}.keras and .tflite; relative difference from Keras {report.max_difference:.0e}")
    return report
