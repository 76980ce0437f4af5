"""Worker that exports a model of another backend: `python -m tflite_export.workers.other_backends FOLDER`."""

import pickle
import sys
from pathlib import Path

from tflite_export.errors import ExportError
from tflite_export.other_backends import FILE, MODEL, OPTIONS, RESULT
from tflite_export.subprocesses import fail


def main(name: str) -> None:
    """Load the model, export it, and leave the report or the error."""
    import keras

    from tflite_export.export import export

    folder = Path(name)
    options = pickle.loads((folder / OPTIONS).read_bytes())  # written by the process that started this one
    try:
        model = keras.models.load_model(folder / MODEL, compile=False)
    except Exception as error:  # whatever custom classes raise
        fail(
            "the model cannot be loaded in another process, where only Keras is imported. Save it as a .keras file "
            "and call export in a process with KERAS_BACKEND=tensorflow that imports its classes. "
            f"Received: {error}"
        )
    result: object
    try:
        result = export(model, folder / FILE, **options)
    except (ExportError, ValueError) as error:
        result = error
    (folder / RESULT).write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
