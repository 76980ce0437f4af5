"""Output files: the path is checked before the work starts; the file is written under a temporary name and moved."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from keras_prune.cli.errors import BadInput
from keras_prune.storage import write_with


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
        temporary = self._real.with_name(f".{secrets.token_hex(4)}.tmp")
        try:
            temporary.touch(exist_ok=False)
            temporary.unlink()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise BadInput(
                f"The output must be in a folder that exists and can be written ({why}). Received: {path!r}"
            ) from error

    def write(self, save: Callable[[Path], object]) -> Path:
        """Let `save` write a file under a temporary name, and move it here: complete, or not at all."""

        def save_if_free(temporary: Path) -> None:
            save(temporary)
            self._refuse_existing()

        write_with(self._real, save_if_free)
        return self.path

    def _refuse_existing(self) -> None:
        if self._real.exists() and not self._overwrite:
            raise BadInput(f"The output exists: pass --overwrite to replace it. Received: {os.fspath(self.path)!r}")
