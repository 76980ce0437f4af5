"""Measured numbers in a JSON file that is complete at any time: an interrupted scan continues from it."""

import os
import pathlib

from keras_prune.reading.json_files import fields, finite, read_plan
from keras_prune.storage import write_plan

KEY = "measured"


class MeasuredFile:
    """Numbers by name and ratio, in a file.

    Args:
        path: The file; it is created at once.
        mark: Fingerprint of what the numbers depend on.

    Attributes:
        values: What the file holds, and what it will hold after `write`.

    Raises:
        ValueError: The file holds something else, or numbers of other models or data; or there is no such folder.
    """

    def __init__(self, path: str | os.PathLike[str], mark: str):
        self._path, self._mark = pathlib.Path(path), mark
        self.values: dict[tuple[str, float], float] = {}
        if self._path.exists():
            self._read()
        else:
            # Now, so that a folder that cannot be written shows before the first measurement.
            self.write(overwrite=False)

    def write(self, overwrite: bool = True) -> None:
        """Write all values."""
        content: dict[str, dict[str, float]] = {}
        for (name, ratio), value in self.values.items():
            content.setdefault(name, {})[repr(ratio)] = value
        try:
            write_plan(self._path, {"fingerprint": self._mark, KEY: content}, overwrite=overwrite)
        except OSError as error:
            raise ValueError(f"The cache cannot be written. Received: cache='{self._path}' ({error})") from error

    def _read(self) -> None:
        """Read all values."""
        try:
            mark, found = read_plan(self._path, KEY, dict)
            rows = fields(found, dict.fromkeys(found, dict))
            values = {
                (name, finite(float(ratio), "ratio")): value
                for name, row in rows.items()
                for ratio, value in fields(row, dict.fromkeys(row, float)).items()
            }
        except (OSError, ValueError) as error:
            raise ValueError(f"The cache holds no measurements. Received: cache='{self._path}' ({error})") from error
        if mark != self._mark:
            raise ValueError(
                "The cache holds measurements of another model, of other data or with other settings: name another "
                f"file, or remove this one. Received: cache='{self._path}', made for {mark}; now it is {self._mark}"
            )
        self.values = values
