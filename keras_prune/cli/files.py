"""Files that commands read: whether they can be the right ones is checked before Keras is imported, in no time."""

import argparse
from pathlib import Path

from keras_prune.cli.errors import BadInput

_MODELS = (".keras", ".h5", ".hdf5")


class InputFile(str):
    """Path of a file on the command line: the `type` of an argument."""

    def check(self) -> None:
        """Raise a `BadInput` unless there is such a file."""
        if not Path(self).is_file():
            raise BadInput(f"There is no such file. Received: {str(self)!r}")


class ModelFile(InputFile):
    """Path of a Keras model."""

    def check(self) -> None:
        """Raise a `BadInput` unless there is such a file, and its name ends as those of models do."""
        super().check()
        if Path(self).suffix not in _MODELS:
            raise BadInput(
                "A Keras model is a file that ends in .keras, .h5 or .hdf5; `inspect`, `benchmark` and `compare` read "
                f".tflite files. Received: {str(self)!r}"
            )


class ComparedFile(ModelFile):
    """Path of a Keras model, or of a `.tflite` file."""

    def check(self) -> None:
        """Raise a `BadInput` unless it is one of the two."""
        if self.endswith(".tflite"):
            InputFile.check(self)
        else:
            super().check()


def check_files(args: argparse.Namespace) -> None:
    """Check all files that these arguments name as inputs."""
    for value in vars(args).values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, InputFile):
                each.check()
