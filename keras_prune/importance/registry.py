"""`CRITERIA`: every importance criterion by name, with what it needs and what it computes.

Docstrings, the tables of the pages, the choices of the command line and those of the examples are made from it.
"""

import dataclasses
import inspect
import zlib
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np

from keras_prune.importance.from_activations import activation_weight, apoz, entropy, mean_activation, wanda
from keras_prune.importance.from_gradients import fisher, gradient, loss_change, movement, snip, taylor
from keras_prune.importance.from_weights import batch_norm_scale, fpgm, l1, l2, lamp, magnitude, magnitude_of_unit
from keras_prune.importance.protocols import Unit, WeightOnlyStatistics
from keras_prune.importance.random import Random, drawn_seed

Importance = Callable[..., np.ndarray]
"""`weight -> scores`, or `(weight, statistics) -> scores`: NumPy arrays of the same shape."""

Needs = Literal["", "movement", "data", "data, loss"]
Of = Literal["weights", "channels"]


class ArrayUnit(Unit, Protocol):
    """The single weights of an array."""

    @property
    def layer(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def values(self) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Criterion:
    """An importance criterion.

    Args:
        function: `unit -> scores`, or `(unit, statistics) -> scores` if it is measured. None: not scored there.
        needs: What it is measured on: `""` (the weights alone), `"movement"` (added up in training), `"data"`, or
            `"data, loss"`.
        of_weights: What it computes for a single weight, as a formula; empty if it scores none.
        of_channels: What it computes for a channel, likewise.
        comparable: Whether its scores mean the same in every layer: a fraction, a change of the loss.
        paper: Its source; empty if there is none.
        of_neurons: Whether it scores a neuron, and so all weights that read it alike. Such a score is taken relative to
            its mean over the layer and multiplied by the weight's own size, as the activation-weight product has it:
            otherwise at high sparsity a few neurons would keep all of their weights, and the others none. (Hu et al.
            compare neurons within their layer; Molchanov et al. 2017, section 2.2, divide by a norm over the layer.)
    """

    function: Callable[..., Any]
    needs: Needs
    of_weights: str
    of_channels: str
    comparable: bool
    paper: str
    of_neurons: bool = False

    def scores(self, what: Of) -> bool:
        """Whether it scores single weights, or channels."""
        return bool(self.of_weights if what == "weights" else self.of_channels)


CRITERIA: dict[str, Criterion] = {
    "magnitude": Criterion(magnitude_of_unit, "", "abs(w)", "", False, "Han et al. 2015"),
    "l2": Criterion(l2, "", "", "sqrt(sum w²) of the weights that make it", False, "Li et al. 2017"),
    "l1": Criterion(l1, "", "", "sum abs(w) of the weights that make it", False, "Li et al. 2017"),
    "lamp": Criterion(
        lamp,
        "",
        "w² / sum of all u² >= w² in the layer",
        "norm² / sum of all norms² >= it in the layer",
        True,
        "Lee et al. 2021",
    ),
    "fpgm": Criterion(fpgm, "", "", "sum of the distances to all filters of the layer", False, "He et al. 2019"),
    "batch_norm_scale": Criterion(
        batch_norm_scale, "", "", "abs(gamma) in BatchNormalization", False, "Liu et al. 2017"
    ),
    "random": Criterion(
        Random,
        "",
        "random, after `keras.utils.set_random_seed`",
        "random, after `keras.utils.set_random_seed`",
        False,
        "",
    ),
    "movement": Criterion(
        movement, "movement", "-sum over the training steps of w·∂loss/∂w", "", False, "Sanh et al. 2020"
    ),
    "mean_activation": Criterion(
        mean_activation,
        "data",
        "abs(w) × mean abs(input) / its mean over the layer",
        "mean abs(activation)",
        False,
        "Molchanov et al. 2017",
        of_neurons=True,
    ),
    "apoz": Criterion(
        apoz,
        "data",
        "abs(w) × fraction of inputs > 0 / its mean over the layer",
        "fraction of activations > 0",
        True,
        "Hu et al. 2016",
        of_neurons=True,
    ),
    "entropy": Criterion(
        entropy,
        "data",
        "abs(w) × entropy of the input over the samples / its mean over the layer",
        "entropy of the mean activation in a sample, over the samples",
        True,
        "Luo and Wu 2017",
        of_neurons=True,
    ),
    "activation_weight": Criterion(
        activation_weight,
        "data",
        "abs(w) × mean abs(input)",
        "mean abs(activation) × sum abs(w) that read it",
        False,
        "",
    ),
    "wanda": Criterion(
        wanda,
        "data",
        "abs(w) × sqrt(mean input²)",
        "sqrt(mean activation²) × sum abs(w) that read it",
        False,
        "Sun et al. 2023",
    ),
    "gradient": Criterion(gradient, "data, loss", "mean abs(∂loss/∂w)", "", False, ""),
    "taylor": Criterion(
        taylor,
        "data, loss",
        "mean abs(w·∂loss/∂w)",
        "mean abs(sum w·∂loss/∂w) of the weights that read it",
        True,
        "Molchanov et al. 2017, 2019",
    ),
    "snip": Criterion(
        snip,
        "data, loss",
        "abs(mean w·∂loss/∂w)",
        "abs(mean sum w·∂loss/∂w) of the weights that read it",
        True,
        "Lee et al. 2019",
    ),
    "fisher": Criterion(
        fisher,
        "data, loss",
        "mean (w·∂loss/∂w)² / 2",
        "mean (sum w·∂loss/∂w)² / 2 of the weights that read it",
        True,
        "Theis et al. 2018",
    ),
    "loss_change": Criterion(
        loss_change,
        "data, loss",
        "abs(loss without it - loss): one evaluation per weight",
        "abs(loss without it - loss): one evaluation per channel",
        True,
        "Molchanov et al. 2017",
    ),
}


def names(what: Of) -> list[str]:
    """The names of the criteria for single weights, or for channels."""
    return [name for name, criterion in CRITERIA.items() if criterion.scores(what)]


def name_of(score: Any) -> str:
    """What an importance is called: its own name, or that of the function."""
    return score if isinstance(score, str) else getattr(score, "__name__", type(score).__name__)


def takes_statistics(score: Callable[..., Any]) -> bool:
    """Whether a function has a second argument that must be passed: it is measured on data."""
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError):  # of some functions written in C
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is inspect.Parameter.empty for each in parameters) > 1


def needs_data(importance: str | Importance) -> bool:
    """Whether an importance for single weights is measured on data."""
    if isinstance(importance, str):
        return CRITERIA[importance].needs.startswith("data")
    return takes_statistics(importance) and importance is not movement  # which the training step adds up


def elementwise(importance: str | Importance) -> Callable[[np.ndarray], np.ndarray] | None:
    """The function `weights -> scores` of an importance that scores each weight by itself, and so can be called on any
    part of an array; None for others."""
    return magnitude if importance in ("magnitude", magnitude) else None


def weight_scorer(importance: str | Importance) -> Callable[[Any, Any], np.ndarray]:
    """Returns the function that scores the weights of an array: `(unit, statistics) -> scores` in the weight's shape.

    Raises:
        ValueError: No criterion for single weights has this name, or the argument is neither a name nor a function.
    """
    if isinstance(importance, str) and importance in names("weights"):
        return _by_name(importance)
    if not callable(importance):
        raise ValueError(
            f"`importance` must be one of {sorted(names('weights'))}, a function `weight -> scores` or "
            f"`(weight, statistics) -> scores`. Received: importance={importance!r}"
        )
    function = importance
    if takes_statistics(function):
        return lambda unit, statistics: function(unit.values, statistics.of(unit))
    return lambda unit, statistics: function(unit.values)


def _by_name(name: str) -> Callable[[ArrayUnit, WeightOnlyStatistics], np.ndarray]:
    criterion = CRITERIA[name]
    function: Callable[..., Any] = _same_each_time(drawn_seed()) if name == "random" else criterion.function

    def score(unit: ArrayUnit, statistics: WeightOnlyStatistics) -> np.ndarray:
        found = function(unit, statistics) if criterion.needs else function(unit)
        if found is None:
            raise ValueError(
                f"The inputs of '{unit.path}' are unknown, so {name!r} cannot score it. Leave the layer alone, with "
                f"targets={{{unit.layer!r}: None}}, or choose another importance. Received: importance={name!r}"
            )
        if found.size != unit.values.size:  # by input position
            found = statistics.spread(unit, found)
        if criterion.of_neurons:
            found = found / (found.mean() or 1) * np.abs(unit.slices()[:, 0])
        return found.reshape(unit.values.shape).astype(unit.values.dtype, copy=False)

    return score


def _same_each_time(seed: int) -> Callable[[ArrayUnit], np.ndarray | None]:
    """Random scores, the same in each pass over an array: whoever ranks several arrays asks for them more than once."""
    return lambda unit: Random((seed, zlib.crc32(unit.path.encode())))(unit)
