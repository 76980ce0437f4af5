"""Measured numbers in a JSON file that is complete at any time: interrupted measurements continue from it."""

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Self

import keras

from keras_prune.measurement.fingerprint import data_fingerprint, differing, fingerprint, model_fingerprint, named
from keras_prune.reading.json_files import fields, finite, read_json
from keras_prune.storage import write_plan

KEY = "measured"


class MeasuredFile:
    """Numbers by name and ratio, in a file.

    Args:
        path: The file; it is created at once.
        mark: Fingerprint of what the numbers depend on.
        settings: That, as `named` gives it, for messages. Defaults to None: nothing is known.

    Attributes:
        values: What the file holds, and what it will hold after `write`.

    Raises:
        ValueError: The file holds something else, or numbers of other models or data; or there is no such folder.
    """

    def __init__(self, path: str | os.PathLike[str], mark: str, settings: Mapping[str, str] | None = None):
        self._path, self._mark, self._settings = pathlib.Path(path), mark, settings or {}
        self.values: dict[tuple[str, float], float] = {}
        if self._path.exists():
            self._read()
        else:
            # Now, so that a folder that cannot be written shows before the first measurement.
            self.write(overwrite=False)

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        model: keras.Model,
        batches: Iterable[Any],
        settings: Mapping[str, Any],
    ) -> Self:
        """The file of what is measured of a model on data.

        Args:
            path: The file.
            model: The model.
            batches: The data: batches of arrays.
            settings: What else the numbers depend on, by name.
        """
        found = named(model=model_fingerprint(model), data=data_fingerprint(batches), **settings)
        return cls(path, fingerprint(found), found)

    def __str__(self) -> str:
        return str(self._path)

    def write(self, overwrite: bool = True) -> None:
        """Write all values."""
        content: dict[str, dict[str, float]] = {}
        for (name, ratio), value in self.values.items():
            content.setdefault(name, {})[repr(ratio)] = value
        try:
            head = {"fingerprint": self._mark, "settings": dict(self._settings)}
            write_plan(self._path, {**head, KEY: content}, overwrite=overwrite)
        except OSError as error:
            raise ValueError(f"The cache cannot be written. Received: cache='{self._path}' ({error})") from error

    def _read(self) -> None:
        """Read all values."""
        try:
            plan = read_json(self._path)
            mark, found = fields(plan, {"fingerprint": str, KEY: dict}).values()
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
                f"file, or remove this one. Received: cache='{self._path}' and "
                f"{differing(plan.get('settings'), self._settings)}"
            )
        self.values = values
