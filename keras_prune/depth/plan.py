"""Plans: what is removed. A plan is plain data, can be saved, and replayed on a model of the same structure."""

import dataclasses
import json
import pathlib


@dataclasses.dataclass(frozen=True)
class LayerPlan:
    """What is removed from a model.

    Args:
        fingerprint: Of the model that the plan was made for; see `LayerAnalysis`.
        removed: The names of the candidates that go.
    """

    fingerprint: str
    removed: tuple[str, ...]

    def save(self, path: str | pathlib.Path) -> None:
        """Writes the plan as JSON."""
        content = {"fingerprint": self.fingerprint, "removed_layers": list(self.removed)}
        pathlib.Path(path).write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "LayerPlan":
        """Reads a plan that `save` wrote.

        Raises:
            ValueError: The file holds something else.
        """
        try:
            content = json.loads(pathlib.Path(path).read_text())
            removed = content["removed_layers"]
            if not isinstance(removed, list):
                raise TypeError(f"'removed_layers' is {removed!r}")
            return cls(str(content["fingerprint"]), tuple(map(str, removed)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The file holds no layer plan. Received: '{path}' ({error})") from error
