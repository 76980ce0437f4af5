"""What a criterion is given: a unit of weights, and the statistics that were measured on data.

The objects behind them live in other rooms (`Binding`, `SingleWeights`, and the statistics of each), which import this
one: a criterion knows no model.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np


class Unit(Protocol):
    """Weights to score: an axis of a weight with the channel at each position, or an array of which each weight counts
    as a channel.

    `role` is `"in"` for weights that read a channel, `"out"` for those that make it, `"through"` for others; the
    weights of an array count as `"in"`. `makes` says whether they are the weights that make a channel, without biases;
    of an array it is True.
    """

    @property
    def role(self) -> Literal["out", "in", "through"]: ...

    @property
    def makes(self) -> bool: ...

    def slices(self) -> np.ndarray:
        """The weights as a read-only matrix: one row for each channel, or for each weight of an array."""


class ArrayUnit(Unit, Protocol):
    """The weights of an array, for criteria that score each weight."""

    @property
    def layer(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def values(self) -> np.ndarray: ...


class ChannelUnit(Unit, Protocol):
    """An axis of a weight, for criteria that score only channels."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...


class Activations(Protocol):
    """Statistics of the activations that each weight, or channel, is multiplied by: see `measurement`."""

    @property
    def magnitude(self) -> np.ndarray: ...

    @property
    def norm(self) -> np.ndarray: ...

    @property
    def off(self) -> np.ndarray: ...


class Statistics(Protocol):
    """What may be measured on data, for a unit: each array has one entry for each row of `unit.slices()`."""

    def activations(self, unit: Any) -> Activations | None:
        """Statistics of the input activations; None where they are unknown."""

    def samples(self, unit: Any) -> np.ndarray | None:
        """The mean value in each sample, of shape (samples, positions); None where it is unknown."""

    def mean_effect(self, unit: Any, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The mean over the batches of `function(Σ w·∂loss/∂w)`."""

    def loss_changes(self, unit: Any) -> np.ndarray:
        """How much the loss rises without each of them."""


class ChannelOnlyStatistics(Statistics, Protocol):
    """What may be measured for channels only."""

    def errors_without(self, unit: Any) -> np.ndarray | None:
        """The error of what reads each channel once it and all that are missed less are removed; None where unknown."""


class WeightOnlyStatistics(Statistics, Protocol):
    """What may be measured for the weights of an array only."""

    def mean_gradient(self, unit: Any, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The mean over the batches of `function(∂loss/∂w)`."""

    def movement(self, unit: Any) -> np.ndarray:
        """-Σ w·∂loss/∂w over the training steps."""

    def spread(self, unit: Any, scores: np.ndarray) -> np.ndarray:
        """Scores of input positions, for each weight."""

    def of(self, unit: Any) -> Any:
        """The statistics of one array: what custom functions get."""
