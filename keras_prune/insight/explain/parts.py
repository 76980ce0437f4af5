"""What an explanation is made of: weight arrays, channel groups or layers, and facts of the whole model."""

import dataclasses
from typing import Literal

from keras_prune.insight.explain.channels import ExplainedGroup
from keras_prune.insight.explain.layers import ExplainedLayer
from keras_prune.insight.explain.weights import ExplainedWeight

Kind = Literal["weights", "channels", "layers"]
Part = ExplainedWeight | ExplainedGroup | ExplainedLayer


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """What was found out about a pruning: the data of an `Explanation`, whose arguments these are."""

    model: str
    kind: Kind
    importance: str
    parts: tuple[Part, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        return f"{self.kind.capitalize()} that went from '{self.model}'"
