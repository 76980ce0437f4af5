"""`Job`: a pruned model is fine-tuned, evaluated, saved and exported."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any, Literal

import keras
import numpy as np

import tflite_export
from keras_prune import _keras
from keras_prune.automation.fine_tuning import Effort, FineTuned, fine_tune
from keras_prune.automation.interval import confidence_interval
from keras_prune.automation.methods import costs_of, nonzeros
from keras_prune.automation.pareto import Candidate
from keras_prune.masking.wrapping import remove_masks
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.evaluation import Evaluation, InMemory
from keras_prune.measurement.loss import find_loss
from keras_prune.storage import write_with
from tflite_export.scratch import temporary_folder

REPRESENTATIVE = 200  # samples for the ranges of int8
CALIBRATION = 1024  # samples to compensate on
_FEW = 8  # samples to run a file with of which only the costs count


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """Settings that all candidates of a search share.

    Args:
        model: The user's, which is not changed.
        train_data: As `fit` takes it, or a list of batches.
        evaluation: On the validation data.
        quantize: As `tflite_export.export` takes it.
        optimizer: As `compile` takes it; None: that of the model.
        loss: As `compile` takes it; None: that of the model.
        epochs: Epochs of fine-tuning after each pruning, at first.
        batch_size: Of `train_data`, if they are arrays.
        seed: Of the first candidate.
        guess: Expected time of fine-tuning, in seconds, before any was measured. Defaults to 0.
        input_type: The type of the files' inputs, as `tflite_export.export` takes it. Defaults to None, float32.
        output_type: That of their outputs, likewise.
        compensate: Whether models with fewer channels are compensated before they are fine-tuned. Defaults to False.
    """

    model: keras.Model
    train_data: Any
    evaluation: Evaluation
    quantize: Literal["float16", "dynamic", "int8", "int16x8"] | None
    optimizer: Any
    loss: Any
    epochs: int
    batch_size: int
    seed: int
    guess: float = 0.0
    input_type: str | None = None
    output_type: str | None = None
    compensate: bool = False

    def train(self, model: keras.Model, effort: Effort) -> FineTuned:
        """Fine-tune a model that was just pruned, in place; the epoch that is best on the validation data is kept."""
        if not effort.epochs:
            return FineTuned((), 0)
        keras.utils.set_random_seed(self.seed + effort.number)
        loss, loss_weights = find_loss(self.model, self.loss)
        model.compile(self._fresh_optimizer(), loss=loss, loss_weights=loss_weights)
        copy, running = copy_to_measure(model)  # of one copy, since each is compiled

        def measure() -> float:
            for weight, twin in zip(model.weights, copy.weights, strict=True):
                twin.assign(_keras.as_numpy(weight))
            return self.evaluation.of(running)

        tuned = fine_tune(model, measure, self.evaluation.lower_is_better, effort, self._fit_arguments())
        return dataclasses.replace(tuned, running=running)

    def candidate(
        self,
        model: keras.Model,
        name: str,
        folder: pathlib.Path,
        done: str,
        epochs: int = 0,
        allocation: str = "",
        tuned: FineTuned | None = None,
        history: tuple[float, ...] = (),
    ) -> tuple[Candidate, Any]:
        """Save and export a model, and evaluate the file.

        Args:
            model: With masks or without.
            name: Of the candidate and its files.
            folder: Of the files.
            done: What was pruned, in words.
            epochs: Epochs of fine-tuning so far. Defaults to 0.
            allocation: How the per-layer sparsity was chosen. Defaults to `""`, it was not.
            tuned: Its fine-tuning, in which it was measured. Defaults to None: it is measured here.
            history: As in `Candidate`. Defaults to `()`.

        Returns:
            The candidate and its plain model.

        Raises:
            tflite_export.ExportError: The model cannot be exported, or the file's outputs differ from those of Keras.
        """
        plain = remove_masks(model)
        if tuned is None or tuned.running is None:
            running = copy_to_measure(plain)[1]
            keras_metric = self.evaluation.of(running)
        else:
            running, keras_metric = tuned.running, tuned.values[tuned.kept]
        path = folder / f"{name}.tflite"
        write_with(path.with_suffix(".keras"), plain.save)
        inputs = _as_model_takes(plain, self.evaluation.samples[0])
        report = self._export(plain, path, inputs)
        arrays = keras.tree.flatten(inputs)
        outputs = tflite_export.predict(path, arrays[0] if len(arrays) == 1 else arrays)
        metric = self.evaluation.of_outputs(running, outputs)
        low, high = confidence_interval(self.evaluation, running, outputs, metric) or (None, None)
        measured: dict[str, Any] = {"metric": metric, "keras_metric": keras_metric, "low": low, "high": high}
        words: dict[str, Any] = {"name": name, "path": path, "done": done, "epochs": epochs, "allocation": allocation}
        words["history"] = history
        return Candidate(**words, **measured, **_costs(plain, report)), plain

    def costs(self, model: keras.Model, exported: bool) -> Candidate:
        """Measure what a model costs that need not be fine-tuned; its metric is NaN, and its files are gone.

        Args:
            model: With masks or without.
            exported: Whether bytes and latency count, so that a file is needed.

        Raises:
            tflite_export.ExportError: The model cannot be exported.
        """
        plain, nothing = remove_masks(model), float("nan")
        with temporary_folder("keras_prune_") as folder:
            path = pathlib.Path(folder) / "probe.tflite"
            few = keras.tree.map_structure(lambda leaf: leaf[:_FEW], self.evaluation.samples[0])
            report = self._export(plain, path, _as_model_takes(plain, few)) if exported else None
        return Candidate("probe", nothing, nothing, **_costs(plain, report), path=path, done="")

    def _export(self, plain: keras.Model, path: pathlib.Path, inputs: Any) -> Any:
        representative = self.inputs(plain, REPRESENTATIVE) if self.quantize in ("int8", "int16x8") else None
        return tflite_export.export(
            plain,
            path,
            quantize=self.quantize,
            representative_data=representative,
            inputs=inputs,
            overwrite=True,
            input_type=self.input_type,
            output_type=self.output_type,
        )

    def _fresh_optimizer(self) -> Any:
        given = self.optimizer
        if given is None:
            given = getattr(self.model, "optimizer", None) or "adam"
        if isinstance(given, keras.optimizers.Optimizer):  # belongs to one model, and has its moments
            return type(given).from_config(given.get_config())
        return keras.optimizers.get(given)

    def _fit_arguments(self) -> dict[str, Any]:
        if isinstance(self.train_data, tuple):
            names = ("x", "y", "sample_weight")
            return {**dict(zip(names, self.train_data, strict=False)), "batch_size": self.batch_size}
        if isinstance(self.train_data, list):
            return {"x": InMemory([keras.utils.unpack_x_y_sample_weight(tuple(each)) for each in self.train_data])}
        return {"x": self.train_data}

    def inputs(self, model: keras.Model, count: int = CALIBRATION) -> Any:
        """The inputs of the first training samples, as a model takes them.

        Args:
            model: The model.
            count: Number of samples. Defaults to as many as models are compensated on.
        """
        return _as_model_takes(model, _first_inputs(Batches(self.train_data, model, with_targets=True), count))


def _costs(plain: keras.Model, report: Any) -> dict[str, Any]:
    """Return the costs of a plain model and of its file, by the names that a candidate has for them."""
    costs = costs_of(plain)
    return {
        "bytes": 0 if report is None else report.bytes,
        "gzip_bytes": 0 if report is None else report.gzip_bytes,
        "latency_ms": None if report is None else report.latency_ms,
        "parameters": costs["params"] or 0,
        "nonzeros": nonzeros(plain),
        "macs": costs["macs"],
    }


def _first_inputs(batches: Iterable[Any], most: int) -> Any:
    """Return the inputs of the first samples, joined."""
    found, count = [], 0
    for x, _, _ in batches:
        found.append(x)
        count += len(keras.tree.flatten(x)[0])
        if count >= most:
            break
    columns = zip(*(keras.tree.flatten(x) for x in found), strict=True)
    return keras.tree.pack_sequence_as(found[0], [np.concatenate(column)[:most] for column in columns])


def _as_model_takes(model: keras.Model, x: Any) -> Any:
    """Return inputs as the model takes them: a list in its order, where they are by name and its inputs are not."""
    structure = _keras.input_structure(model)
    if isinstance(x, dict) and not isinstance(structure, dict):
        listed = [x[tensor.name] for tensor in keras.tree.flatten(structure)]
        return keras.tree.pack_sequence_as(structure, listed)
    return x
