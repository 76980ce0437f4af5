"""Export of models of the JAX and PyTorch backends, in a subprocess that runs Keras on TensorFlow."""

import dataclasses
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflite_export import subprocesses
from tflite_export.report import ExportReport
from tflite_export.scratch import temporary_folder
from tflite_export.storage import write

if TYPE_CHECKING:
    import keras

MODEL, OPTIONS, FILE, RESULT = "model.keras", "options.pickle", "model.tflite", "result.pickle"


def export_on_tensorflow(
    model: "keras.Model", path: Path, target: Path, overwrite: bool, options: dict[str, Any]
) -> ExportReport:
    """Export a model through a `.keras` file, which a subprocess loads on TensorFlow.

    Args:
        model: A model after `prepare`. Custom classes must be found by a program that imports only Keras.
        path: Where the user wants the file.
        target: The same, checked.
        overwrite: Whether a file there may be replaced.
        options: The other arguments of `export`.

    Raises:
        ValueError: As `export` raises it.
        ExportError: Likewise, or the `.keras` file cannot be loaded in the subprocess.
    """
    import keras

    arrays = ("inputs", "labels", "representative_data")
    as_numpy = {name: keras.tree.map_structure(_as_numpy, options[name]) for name in arrays}
    with temporary_folder() as folder:
        model.save(folder / MODEL)
        (folder / OPTIONS).write_bytes(pickle.dumps(options | as_numpy))
        environment = {"KERAS_BACKEND": "tensorflow"}
        subprocesses.run(
            "tflite_export.workers.other_backends",
            str(folder),
            task="the export on TensorFlow",
            environment=environment,
        )
        result = pickle.loads((folder / RESULT).read_bytes())  # written by our own worker
        if isinstance(result, Exception):
            raise result
        write(target, (folder / FILE).read_bytes(), overwrite=overwrite)
    return dataclasses.replace(result, path=path)


def _as_numpy(value: Any) -> Any:
    """A tensor of this backend as an array, which the subprocess can read; all else as it is."""
    import keras

    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value
