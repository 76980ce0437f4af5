"""`Job`: a pruned model is fine-tuned, evaluated, saved and exported."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any, Literal

import keras
import numpy as np

import tflite_export
from keras_prune import _keras
from keras_prune.automation.methods import costs_of, nonzeros
from keras_prune.automation.pareto import Candidate
from keras_prune.masking.wrapping import remove_masks
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.copies import copy_to_measure
from keras_prune.measurement.evaluation import Evaluation, InMemory
from keras_prune.measurement.loss import find_loss
from keras_prune.storage import write_with

REPRESENTATIVE = 200  # samples for the ranges of int8


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
        epochs: Epochs of fine-tuning after each pruning.
        batch_size: Of `train_data`, if they are arrays.
        seed: Of the first candidate.
        guess: Expected time of fine-tuning, in seconds, before any was measured. Defaults to 0.
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

    def train(self, model: keras.Model, number: int) -> None:
        """Fine-tune a model that was just pruned, in place. The same number gives the same random numbers."""
        if not self.epochs:
            return
        keras.utils.set_random_seed(self.seed + number)
        loss, loss_weights = find_loss(self.model, self.loss)
        model.compile(self._fresh_optimizer(), loss=loss, loss_weights=loss_weights)
        model.fit(**self._fit_arguments(), epochs=self.epochs, verbose=0)

    def candidate(self, model: keras.Model, name: str, folder: pathlib.Path, done: str) -> tuple[Candidate, Any]:
        """Save and export a model, and evaluate the file.

        Args:
            model: With masks or without.
            name: Of the candidate and its files.
            folder: Of the files.
            done: What was pruned, in words.

        Returns:
            The candidate and its plain model.

        Raises:
            tflite_export.ExportError: The model cannot be exported, or the file's outputs differ from those of Keras.
        """
        plain = remove_masks(model)
        running = copy_to_measure(plain)[1]
        keras_metric = self.evaluation.of(running)
        path = folder / f"{name}.tflite"
        write_with(path.with_suffix(".keras"), plain.save)
        inputs = _as_model_takes(plain, self.evaluation.samples[0])
        representative = self._representative(plain) if self.quantize in ("int8", "int16x8") else None
        report = tflite_export.export(
            plain,
            path,
            quantize=self.quantize,
            representative_data=representative,
            inputs=inputs,
            overwrite=True,
        )
        arrays = keras.tree.flatten(inputs)
        outputs = tflite_export.predict(path, arrays[0] if len(arrays) == 1 else arrays)
        costs = costs_of(plain)
        candidate = Candidate(
            name=name,
            metric=self.evaluation.of_outputs(running, outputs),
            keras_metric=keras_metric,
            bytes=report.bytes,
            gzip_bytes=report.gzip_bytes,
            parameters=costs["params"] or 0,
            nonzeros=nonzeros(plain),
            macs=costs["macs"],
            latency_ms=report.latency_ms,
            path=path,
            done=done,
        )
        return candidate, plain

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

    def _representative(self, model: keras.Model) -> Any:
        return _as_model_takes(model, _first_inputs(Batches(self.train_data, model, with_targets=True)))


def _first_inputs(batches: Iterable[Any]) -> Any:
    """Return the inputs of the first samples, joined."""
    found, count = [], 0
    for x, _, _ in batches:
        found.append(x)
        count += len(keras.tree.flatten(x)[0])
        if count >= REPRESENTATIVE:
            break
    columns = zip(*(keras.tree.flatten(x) for x in found), strict=True)
    return keras.tree.pack_sequence_as(found[0], [np.concatenate(column)[:REPRESENTATIVE] for column in columns])


def _as_model_takes(model: keras.Model, x: Any) -> Any:
    """Return inputs as the model takes them: a list in its order, where they are by name and its inputs are not."""
    structure = _keras.input_structure(model)
    if isinstance(x, dict) and not isinstance(structure, dict):
        listed = [x[tensor.name] for tensor in keras.tree.flatten(structure)]
        return keras.tree.pack_sequence_as(structure, listed)
    return x
