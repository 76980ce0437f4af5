"""`Work` and `Use`: what the operations of a model multiply, as the rules declare and `costs` counts it."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tflite_export.reporting import Shown

Axis = int | np.ndarray  # a size, or the channels at each position


@dataclasses.dataclass(frozen=True, eq=False)
class Work(Shown):
    """Products of one use of one operation: `positions` times the size of the weight times those of the axes.

    Args:
        layer: Path of the layer.
        positions: How often each entry is multiplied for one sample; None if a size is unknown.
        weight: The variable; None for a product of activations.
        axes: Further sizes, which shrink when channels are removed.
    """

    layer: str
    positions: int | None
    weight: keras.Variable | None
    axes: tuple[Axis, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Use(Shown):
    """One use of one operation that is no model.

    Args:
        path: The operation's path.
        nodes: The nodes that use the models that it is in, the outermost first, and its own. Of a model that is used
            twice the nodes of its layers are in two uses each.
        work: What it multiplies, as far as its rule declared it.
        unknown: Why it is unknown whether that is all, or how much it is; else empty.
    """

    path: str
    nodes: tuple[Any, ...]
    work: tuple[Work, ...]
    unknown: str

    @property
    def node(self) -> Any:
        """Its own node in the graph."""
        return self.nodes[-1]


def entries(shape: Sequence[int | None]) -> int | None:
    """Return how many entries one sample of a tensor has; None if a size is unknown."""
    sizes = [size for size in shape[1:] if size is not None]
    return math.prod(sizes) if len(sizes) == len(shape) - 1 else None
