"""Models of the JAX and PyTorch backends: exported by a child process that runs Keras on TensorFlow."""

import dataclasses
import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflite_export import subprocesses
from tflite_export.report import ExportReport
from tflite_export.storage import write

if TYPE_CHECKING:
    import keras

MODEL, OPTIONS, FILE, RESULT = "model.keras", "options.pickle", "model.tflite", "result.pickle"


def export_on_tensorflow(model: "keras.Model", path: Path, target: Path, options: dict[str, Any]) -> ExportReport:
    """Exports a plain model through a `.keras` file.

    Args:
        model: Without masks. Its own classes, if it has any, must be found by whoever imports Keras.
        path: Where the user wants the file.
        target: The same, checked.
        options: The arguments of `export`.

    Raises:
        ValueError: As `export` raises it.
        ExportError: Likewise, or the `.keras` file cannot be loaded in another process.
    """
    import keras

    arrays = ("inputs", "labels", "representative_data")
    as_numpy = {name: keras.tree.map_structure(_as_numpy, options[name]) for name in arrays}
    with tempfile.TemporaryDirectory(prefix="tflite_export_") as name:
        folder = Path(name)
        model.save(folder / MODEL)
        (folder / OPTIONS).write_bytes(pickle.dumps(options | as_numpy))
        environment = {"KERAS_BACKEND": "tensorflow"}
        subprocesses.run(
            "tflite_export.workers.other_backends",
            str(folder),
            task="the export on TensorFlow",
            environment=environment,
        )
        result = pickle.loads((folder / RESULT).read_bytes())  # written by our own child
        if isinstance(result, Exception):
            raise result
        write(target, (folder / FILE).read_bytes())
    return dataclasses.replace(result, path=path)


def _as_numpy(value: Any) -> Any:
    """Tensors of this backend as arrays, which another process understands."""
    import keras

    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value
