"""`LayerPlan`: what is removed, as plain data that can be saved, and replayed on a model of the same structure."""

import dataclasses
import pathlib

from keras_prune.reading.json_files import items, read_plan
from keras_prune.storage import write_plan
from tflite_export.reporting import Shown


@dataclasses.dataclass(frozen=True)
class LayerPlan(Shown):
    """The layers and branches to remove from a model.

    Args:
        fingerprint: Of the model that the plan was made for; see `LayerAnalysis`.
        removed: The names of the candidates to remove.
    """

    fingerprint: str
    removed: tuple[str, ...]

    def save(self, path: str | pathlib.Path, overwrite: bool = True) -> None:
        """Write the plan as JSON.

        Args:
            path: The file.
            overwrite: Whether a file that exists may be replaced, as in Keras's `model.save`. Defaults to True.

        Raises:
            ValueError: The file exists, and `overwrite` is False.
        """
        content = {"fingerprint": self.fingerprint, "removed_layers": list(self.removed)}
        write_plan(path, content, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "LayerPlan":
        """Read a plan that `save` wrote.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file holds something else.
        """
        try:
            fingerprint, removed = read_plan(path, "removed_layers", list)
            return cls(fingerprint, tuple(items(removed, str, "removed_layers")))
        except ValueError as error:
            raise ValueError(f"The file holds no layer plan. Received: '{path}' ({error})") from error
