"""Backups of the state of `HoldAccuracy` in a folder, so that a run that was killed can be resumed."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_prune.measurement.fingerprint import differing, named
from keras_prune.reading.json_files import fields, parse_json, record
from keras_prune.reading.npz_files import NpzReader
from keras_prune.storage import write_with
from keras_prune.weights.snapshot import Snapshot

SETTINGS = "settings"  # a key of the state
_SUFFIX = ".hold.npz"


def settings_of(search: Any) -> dict[str, str]:
    """What the decisions of a `HoldAccuracy` depend on."""
    names = ("monitor", "mode", "max_drop", "relative", "baseline_epochs", "step", "resolution", "patience")
    given = {name: getattr(search, name) for name in (*names, "max_sparsity")}
    rule = {name: repr(getattr(search.rule, name)) for name in ("selection", "targets", "prune_frozen")}
    return named(**given, **rule, baseline=search._given_baseline, importance=search.rule.importance)


class Backup:
    """The state of the search after each of the last two epochs.

    Two, since `BackupAndRestore` writes the model's own state a moment later: a run killed in between resumes from the
    epoch before.

    Args:
        folder: Folder of the files; created when the first is written.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = pathlib.Path(folder)

    def save(self, epoch: int, state: dict[str, Any], best: Snapshot | None) -> None:
        """Writes the state after an epoch in one step, and removes those older than the epoch before.

        Args:
            epoch: The epoch, counted from 0 as in Keras.
            state: The state of the search, of values that JSON can hold.
            best: The best model so far; None if there is none yet.
        """
        arrays = {} if best is None else _named(best)
        # Bytes, since NumPy's files have no bfloat16.
        content: dict[str, Any] = {name: np.frombuffer(array.tobytes(), np.uint8) for name, array in arrays.items()}
        content["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_with(self._path(epoch), lambda path: np.savez(path, **content))
        for old in self._epochs():
            if not epoch - 1 <= old <= epoch:
                self._path(old).unlink()

    def load(
        self, epoch: int, model: keras.Model, kinds: Mapping[str, Any], decision: type, settings: Mapping[str, str]
    ) -> tuple[list[Any], dict[str, Any], Snapshot | None] | None:
        """The decisions, the state and the best model after an epoch; None if the folder holds none at all.

        Args:
            epoch: The epoch.
            model: The model, to which the best one must fit.
            kinds: What the state must have besides the decisions: types by name.
            decision: Class of the decisions.
            settings: What they depend on, as `settings_of` gives it.

        Raises:
            ValueError: It holds the states of other epochs only, of another model or search, or damaged ones.
        """
        saved = self._epochs()
        if not saved:
            return None
        if epoch not in saved:
            raise ValueError(
                f"The backup must hold the state after epoch {epoch}, from which `fit` resumes. List HoldAccuracy "
                "before `BackupAndRestore`, or empty the folder to start again. "
                f"Received: {self.folder}, with those after epochs {saved}"
            )
        path = self._path(epoch)
        try:
            with NpzReader(path) as file:
                state = fields(parse_json(file.read("state").tobytes()), {**kinds, "decisions": list, SETTINGS: dict})
                decisions: list[Any] = [record(decision, each) for each in state.pop("decisions")]
                if not decisions:
                    raise ValueError("it has no decisions")
                content = {name: file.read(name).tobytes() for name in file.names if name != "state"}
        except (OSError, ValueError) as error:
            raise ValueError(
                f"The backup is damaged: empty the folder to start again ({error}). Received: {path}"
            ) from error
        best = self._best_of(content, path, model) if content else None
        if (made := state.pop(SETTINGS)) != settings:
            raise ValueError(
                "The backup must be of a search with the same settings: empty the folder to start again. "
                f"Received: {path} and {differing(made, settings)}"
            )
        return decisions, state, best

    def _best_of(self, content: Mapping[str, bytes], path: pathlib.Path, model: keras.Model) -> Snapshot:
        """The best model of a file, whose arrays must be those of the model."""
        now = Snapshot.take(model)
        arrays = _named(now)
        sizes = {name: array.nbytes for name, array in arrays.items()}
        saved = {name: len(each) for name, each in content.items()}
        if sizes != saved:
            raise ValueError(
                f"The backup must be of this model and optimizer. Received: {path}, of another one: "
                f"{_differing(saved, sizes, model)}"
            )
        read = {name: np.frombuffer(content[name], array.dtype).reshape(array.shape) for name, array in arrays.items()}
        weights = tuple(array for name, array in read.items() if name.startswith("weight"))
        optimizer = tuple(array for name, array in read.items() if name.startswith("optimizer"))
        return Snapshot(weights, now.optimizer, optimizer)

    def clear(self) -> None:
        """Removes the files, and the folder if nothing else is in it."""
        half_written = self.folder.glob(f".*.tmp.*{_SUFFIX}")
        for path in [*map(self._path, self._epochs()), *half_written]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _epochs(self) -> list[int]:
        names = [path.name.removesuffix(_SUFFIX) for path in self.folder.glob(f"*{_SUFFIX}") if path.is_file()]
        return sorted(int(name) for name in names if name.isdecimal())

    def _path(self, epoch: int) -> pathlib.Path:
        return self.folder / f"{epoch}{_SUFFIX}"


def _differing(saved: Mapping[str, int], now: Mapping[str, int], model: keras.Model) -> str:
    """The first array that differs, with both sizes, and how many differ."""
    other = [name for name in {**now, **saved} if saved.get(name) != now.get(name)]
    kind, index = other[0].split()
    variables = model.weights if kind == "weight" else getattr(model.optimizer, "variables", [])
    path = f" ({variables[int(index)].path})" if int(index) < len(variables) else ""
    sizes = [f"{found[other[0]]:,} bytes" if other[0] in found else "none" for found in (now, saved)]
    return f"{other[0]}{path} has {sizes[0]} in the model and {sizes[1]} in the backup; {len(other)} arrays differ"


def _named(snapshot: Snapshot) -> dict[str, np.ndarray]:
    groups = (("weight", snapshot.weights), ("optimizer", snapshot.state))
    return {f"{kind} {index}": array for kind, arrays in groups for index, array in enumerate(arrays)}
