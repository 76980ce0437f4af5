"""Conversion of a Keras model to the bytes of a `.tflite` file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export import subprocesses
from tflite_export.conversion.advice import advice
from tflite_export.errors import ExportError
from tflite_export.keras_models.signature import Input
from tflite_export.reader import flatbuffer

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Settings:
    """Settings of a conversion.

    Attributes:
        mode: The name of the `Mode`.
        input_type: The type of the file's inputs, those that are real numbers.
        output_type: The type of its outputs, likewise.
        per_channel: Whether quantized kernels have one scale per output channel; else one per kernel.
        sparse: Whether zeros are left out of kernels with many of them.
        allow: Which operators the file may have besides LiteRT's own: "flex", "custom".
    """

    mode: str | None
    input_type: str
    output_type: str
    per_channel: bool
    sparse: bool
    allow: tuple[str, ...]


class Conversion:
    """Conversion of one model: it is saved once, and converted with each of the settings to try.

    Args:
        model: A built Keras model without pruning masks.
        structure: The structure of its inputs.
        inputs: The inputs, in flattened order.
        outputs: A name for each output, in flattened order.
        representative: Real inputs in the same order, to measure ranges on; None without quantized activations.
        batch: How many samples the file takes at a time; None: as many as it is given.
        folder: A temporary folder.
    """

    def __init__(
        self,
        model: "keras.Model",
        structure: Any,
        inputs: Sequence[Input],
        outputs: Sequence[str],
        representative: Sequence[np.ndarray] | None,
        batch: int | None,
        folder: Path,
    ):
        self._folder, self._inputs, self._outputs = folder, [spec.name for spec in inputs], list(outputs)
        self._model, self._specs, self._batch = model, inputs, batch
        _save(model, structure, inputs, outputs, batch, folder / "saved_model")
        self._representative = None
        if representative is not None:
            self._representative = str(folder / "representative.npz")
            arrays: dict[str, Any] = {f"input_{place}": batch for place, batch in enumerate(representative)}
            np.savez(self._representative, **arrays)

    def convert(self, settings: Settings) -> bytes:
        """Return the bytes of a file. Its inputs and outputs have their names in the signature, and their order.

        Raises:
            ExportError: The converter cannot convert the model, or writes a broken file.
        """
        file = self._folder / "converted.tflite"
        four_bits = settings.mode == "int4"
        values = vars(settings) | {
            "mode": None if four_bits else settings.mode,
            "representative": self._representative,
            "names": self._inputs,
            "batch": self._batch,
        }
        arguments = [str(self._folder / "saved_model"), str(file), json.dumps(values)]
        try:
            subprocesses.run("tflite_export.workers.convert", *arguments, task="the conversion to TensorFlow Lite")
        except ExportError as error:
            hint = advice(self._model, self._specs, self._batch, settings.mode, str(error))
            # What to do comes first: the words of the converter may fill pages.
            raise ExportError(f"the conversion failed. {hint}\n{error}" if hint else str(error)) from error
        if four_bits:
            line = (str(file), str(file), str(settings.per_channel))
            subprocesses.run("tflite_export.workers.int4", *line, task="the quantization to int4")
        try:
            return flatbuffer.in_order(file.read_bytes(), self._inputs, self._outputs)
        except ValueError as error:  # TensorFlow 2.21 drops the inputs beyond its last whole block of zeros
            raise ExportError(f"the converter wrote a file that is broken: {error}") from error


def _save(
    model: "keras.Model",
    structure: Any,
    inputs: Sequence[Input],
    outputs: Sequence[str],
    batch: int | None,
    saved: Path,
) -> None:
    """Write the SavedModel.

    What `model.export` does, with a flat signature: each input and output has one name, however they are nested, and
    none that TensorFlow refuses or that Keras counts up from run to run (`keras_tensor_17`).
    """
    import keras
    import tensorflow as tf

    def serve(*flat: Any) -> dict[str, Any]:
        result = model(keras.tree.pack_sequence_as(structure, flat), training=False)
        return dict(zip(outputs, keras.tree.flatten(result), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(model)
    specs = [tf.TensorSpec((batch, *spec.shape), spec.dtype, name=spec.name) for spec in inputs]
    archive.add_endpoint("serve", serve, specs)
    archive.write_out(str(saved), verbose=False)
