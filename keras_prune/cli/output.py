"""Output files: the path is checked before the work starts; the file is written under a temporary name and moved."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_prune.cli.errors import BadInput
from tflite_export.storage import temporary_beside, write_together


class Target:
    """Checked path of an output file.

    Args:
        path: Of the file; a link is followed.
        suffix: Required end of its name.
        overwrite: Whether an existing file may be replaced.

    Raises:
        BadInput: The name ends in something else, a file is there already, or the folder cannot be written.
    """

    def __init__(self, path: str, suffix: str, overwrite: bool):
        self.path = Path(path)
        self._real = Path(os.path.realpath(path))
        self._overwrite = overwrite
        if not path.endswith(suffix) or self._real.name == suffix:
            raise BadInput(f"The output must be a file that ends in {suffix}. Received: {path!r}")
        self._refuse_existing()
        if self._real.is_dir():
            raise BadInput(f"The output must be a file, not a folder. Received: {path!r}")
        temporary = temporary_beside(self._real)
        try:
            temporary.touch(exist_ok=False)
            temporary.unlink()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise BadInput(
                f"The output must be in a folder that exists and can be written ({why}). Received: {path!r}"
            ) from error

    def write(self, save: Callable[[Path], object]) -> Path:
        """Let `save` write a file under a temporary name, and put it here: complete, or not at all."""
        (path,) = write_outputs([(self, save)])
        return path

    def _refuse_existing(self) -> None:
        if self._real.exists() and not self._overwrite:
            raise BadInput(f"The output exists: pass --overwrite to replace it. Received: {os.fspath(self.path)!r}")


def is_standard_output(path: str | None, json: bool) -> bool:
    """Whether an output is to be printed in place of the report: its path is "-".

    Raises:
        BadInput: The JSON object is to be printed there too.
    """
    if path == "-" and json:
        raise BadInput("Standard output takes one: --json, or an output named -. Received: both")
    return path == "-"


def write_outputs(outputs: Sequence[tuple[Target, Callable[[Path], object]]]) -> tuple[Path, ...]:
    """Write several outputs of one command, all or none, and return their paths."""
    files = [(target._real, save) for target, save in outputs]
    overwrite = all(target._overwrite for target, _ in outputs)  # one option of the command
    try:
        write_together(files, overwrite=overwrite)
    except ValueError:
        for target, _ in outputs:
            target._refuse_existing()
        raise
    return tuple(target.path for target, _ in outputs)
