"""`ChannelPlan`: which channels to remove, as plain data that can be saved and replayed."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from keras_prune.channels.groups import ChannelAnalysis
from keras_prune.reading.json_files import fields, read_plan
from keras_prune.storage import write_plan
from keras_prune.validation import check_integer
from tflite_export.reporting import Shown, Table

_LARGEST = 2**31 - 1  # no axis is longer


@dataclasses.dataclass(frozen=True)
class ChannelPlan(Shown):
    """Plan of which channels to remove. It fits all models of the same structure.

    Args:
        fingerprint: That of the model that the plan was made for; see `ChannelAnalysis`.
        removed: By name of the group the positions, in order, of the channels to remove.

    Raises:
        ValueError: A position is no integer of at least 0.

    Example:

    ```python
    plan = prune_channels(model, 0.5).plan
    plan.save("plan.json")
    small = prune_channels(model, plan=ChannelPlan.load("plan.json")).model
    ```
    """

    fingerprint: str
    removed: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        checked = {
            name: tuple(check_integer(each, "removed", 0, _LARGEST) for each in positions)
            for name, positions in self.removed.items()
        }
        object.__setattr__(self, "removed", checked)

    def _tables(self) -> Sequence[Table]:
        rows = [(name, str(len(each)), ", ".join(map(str, each))) for name, each in self.removed.items()]
        return [Table(("Group", "Removed", "Positions"), rows, f"Plan for models of the structure {self.fingerprint}")]

    def save(self, path: str | pathlib.Path, overwrite: bool = True) -> None:
        """Write the plan as JSON.

        Args:
            path: The file.
            overwrite: Whether a file that exists may be replaced, as in Keras's `model.save`. Defaults to True.

        Raises:
            ValueError: The file exists, and `overwrite` is False.
        """
        removed = {name: list(positions) for name, positions in self.removed.items()}
        write_plan(path, {"fingerprint": self.fingerprint, "removed": removed}, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "ChannelPlan":
        """Read a plan that `save` wrote.

        Args:
            path: The file.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file holds something else.
        """
        try:
            fingerprint, removed = read_plan(path, "removed", dict)
            return cls(fingerprint, fields(removed, dict.fromkeys(removed, list)))
        except ValueError as error:
            raise ValueError(f"The file holds no channel plan. Received: '{path}' ({error})") from error

    def keep(self, analysis: ChannelAnalysis) -> np.ndarray:
        """For each atom of the model, whether it is kept.

        Raises:
            ValueError: The plan was made for another model, or cannot be carried out.
        """
        if self.fingerprint != analysis.fingerprint:
            raise ValueError(
                "The plan was made for a model of another structure. "
                f"Received: a plan for {self.fingerprint}, the model '{analysis.model}' is {analysis.fingerprint}"
            )
        atoms = analysis.trace.found.atoms
        keep = np.ones(len(atoms), dtype=bool)
        groups = {group.name: group for group in analysis.groups}
        for name, positions in self.removed.items():
            group = groups.get(name)
            places = np.array(positions, dtype=np.int64)
            if group is None or (places < 0).any() or (places >= group.size).any() or not group.free[places].all():
                raise ValueError(f"The plan removes channels that are always kept, or do not exist. Received: '{name}'")
            keep[group.channels[places]] = False
        if any(not keep[row].any() for row in analysis.never_empty):
            raise ValueError(f"The plan leaves a layer or tensor without channels. Received: {dict(self.removed)}")
        return keep[atoms.roots(np.arange(len(atoms)))]
