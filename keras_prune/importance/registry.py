"""`CRITERIA`: every importance criterion by name, with what it needs and what it computes.

Docstrings, the tables of the pages, the choices of the command line and those of the examples are made from it.
"""

import dataclasses
import inspect
import zlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from keras_prune.importance.from_activations import (
    activation_weight,
    apoz,
    entropy,
    mean_activation,
    reconstruction,
    wanda,
)
from keras_prune.importance.from_gradients import fisher, gradient, loss_change, movement, snip, taylor
from keras_prune.importance.from_weights import batch_norm_scale, fpgm, l1, l2, lamp, magnitude, magnitude_of_unit
from keras_prune.importance.protocols import ArrayUnit, WeightOnlyStatistics
from keras_prune.importance.random import Random, drawn_seed
from tflite_export.reporting import Shown

Importance = Callable[..., np.ndarray]
"""`weight -> scores`, or `(weight, statistics) -> scores`: NumPy arrays of the same shape."""

Needs = Literal["", "movement", "data", "data, loss"]
Of = Literal["weights", "channels"]
_Scorer = Callable[[ArrayUnit, WeightOnlyStatistics | None], np.ndarray]  # None: for criteria that need none


@dataclasses.dataclass(frozen=True)
class Criterion(Shown):
    """Importance criterion: its function, what it needs, and what it computes.

    In the formulas `w` is a weight and `x` its input, the activation that it is multiplied by; `y` are the activations
    of a channel, `m` the weights that make it, `r` the weights that read it. Means of activations are over samples and
    positions, those of gradients over batches. The
    layer of a weight is its array.

    Args:
        function: `unit -> scores`, or `(unit, statistics) -> scores` if it is measured.
        needs: What it is measured on: `""` (the weights alone), `"movement"` (summed up in training), `"data"`, or
            `"data, loss"`.
        of_weights: The score of a weight as a formula, in Markdown; `""` if it scores none.
        of_channels: The score of a channel, likewise.
        comparable: Whether its scores mean the same in every layer: a fraction, or a change of the loss.
        paper: Its source; `""` if there is none.
        of_neurons: Whether it scores a neuron, and so all weights that read it alike. Of a weight such a score is taken
            relative to its mean over the layer and multiplied by the magnitude, as in the activation-weight product:
            otherwise at high sparsity a few neurons would keep all of their weights, and the others none. (Hu et al.
            compare neurons within their layer; Molchanov et al. 2017, section 2.2, divide by a norm over the layer.)
            Defaults to False.
    """

    function: Callable[..., Any]
    needs: Needs
    of_weights: str
    of_channels: str
    comparable: bool
    paper: str
    of_neurons: bool = False

    def scores(self, what: Of) -> bool:
        """Whether it scores `"weights"`, or `"channels"`."""
        return bool(self.of_weights if what == "weights" else self.of_channels)

    def compares_layers(self, what: Of) -> bool:
        """Whether the scores of weights, or channels, mean the same in every layer.

        Of a neuron the score itself does; multiplied by the magnitude of a weight, it does as little as the magnitude.
        """
        return self.comparable and not (what == "weights" and self.of_neurons)


_RANDOM = "uniform in [0, 1), seeded by `keras.utils.set_random_seed`"

CRITERIA: dict[str, Criterion] = {
    "magnitude": Criterion(magnitude_of_unit, "", "`abs(w)`", "", False, "Han et al. 2015"),
    "l2": Criterion(l2, "", "", "`sqrt(sum m²)`", False, "Li et al. 2017"),
    "l1": Criterion(l1, "", "", "`sum abs(m)`", False, "Li et al. 2017"),
    "lamp": Criterion(
        lamp,
        "",
        "`w² / sum v²`, over all `v` of the layer with `v² >= w²`",
        "`n² / sum k²`, `n` its norm, over all norms `k >= n` of the layer",
        True,
        "Lee et al. 2021",
    ),
    "fpgm": Criterion(fpgm, "", "", "`sum ‖m - f‖`, over all filters `f` of the layer", False, "He et al. 2019"),
    "batch_norm_scale": Criterion(
        batch_norm_scale, "", "", "`abs(gamma)` of its BatchNormalization", False, "Liu et al. 2017"
    ),
    "random": Criterion(Random, "", _RANDOM, _RANDOM, False, ""),
    "movement": Criterion(movement, "movement", "`-sum w·∂loss/∂w`, over all steps", "", True, "Sanh et al. 2020"),
    "wanda": Criterion(
        wanda, "data", "`abs(w) · sqrt(mean x²)`", "`sqrt(mean y²) · sum abs(r)`", False, "Sun et al. 2023"
    ),
    "activation_weight": Criterion(
        activation_weight, "data", "`abs(w) · mean abs(x)`", "`mean abs(y) · sum abs(r)`", False, ""
    ),
    "mean_activation": Criterion(
        mean_activation,
        "data",
        "`abs(w) · a / mean a`, with `a = mean abs(x)`",
        "`mean abs(y)`",
        False,
        "Molchanov et al. 2017",
        of_neurons=True,
    ),
    "apoz": Criterion(
        apoz,
        "data",
        "`abs(w) · a / mean a`, with `a` the fraction of `x > 0`",
        "fraction of `y > 0`",
        True,
        "Hu et al. 2016",
        of_neurons=True,
    ),
    "entropy": Criterion(
        entropy,
        "data",
        "`abs(w) · a / mean a`, with `a` the entropy of the mean `x` in a sample",
        "entropy, over the samples, of the mean `y` in a sample",
        True,
        "Luo and Wu 2017",
        of_neurons=True,
    ),
    "reconstruction": Criterion(
        reconstruction,
        "data",
        "",
        "error of the layers that read it, fitted again without it",
        True,
        "He et al. 2017",
    ),
    "gradient": Criterion(gradient, "data, loss", "`mean abs(∂loss/∂w)`", "", False, ""),
    "taylor": Criterion(
        taylor,
        "data, loss",
        "`mean abs(w·∂loss/∂w)`",
        "`mean abs(sum r·∂loss/∂r)`",
        True,
        "Molchanov et al. 2017, 2019",
    ),
    "snip": Criterion(
        snip, "data, loss", "`abs(mean w·∂loss/∂w)`", "`abs(mean sum r·∂loss/∂r)`", True, "Lee et al. 2019"
    ),
    "fisher": Criterion(
        fisher, "data, loss", "`mean (w·∂loss/∂w)² / 2`", "`mean (sum r·∂loss/∂r)² / 2`", True, "Theis et al. 2018"
    ),
    "loss_change": Criterion(
        loss_change,
        "data, loss",
        "`abs(loss(w = 0) - loss)`, one evaluation each",
        "`abs(loss(r = 0) - loss)`, one evaluation each",
        True,
        "Molchanov et al. 2017",
    ),
}


def names(what: Of) -> list[str]:
    """Return the names of the criteria for `"weights"`, or for `"channels"`."""
    return [name for name, criterion in CRITERIA.items() if criterion.scores(what)]


def name_of(score: Any) -> str:
    """Return the name of a criterion, or of a custom function."""
    return score if isinstance(score, str) else getattr(score, "__name__", type(score).__name__)


def takes_statistics(score: Callable[..., Any]) -> bool:
    """Whether a function has a second argument without a default, the statistics measured on data."""
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError):  # of some functions written in C
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is inspect.Parameter.empty for each in parameters) > 1


def needs_data(importance: str | Importance) -> bool:
    """Whether a criterion for weights is measured on data."""
    if isinstance(importance, str):
        return CRITERIA[importance].needs.startswith("data")
    return takes_statistics(importance) and importance is not movement  # which the training step adds up


def elementwise(importance: str | Importance) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the function `weights -> scores` of a criterion that scores each weight by itself, and so can be called on
    any part of an array; None for others."""
    return magnitude if importance in ("magnitude", magnitude) else None


def weight_scorer(importance: str | Importance) -> _Scorer:
    """Return the function that scores the weights of an array: `(unit, statistics) -> scores` in the array's shape.

    Raises:
        ValueError: No criterion for weights has this name, or the argument is neither a name nor a function.
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
        return lambda unit, statistics: function(unit.values, None if statistics is None else statistics.of(unit))
    return lambda unit, statistics: function(unit.values)


def _by_name(name: str) -> _Scorer:
    criterion = CRITERIA[name]
    function: Callable[..., Any] = _same_each_time(drawn_seed()) if name == "random" else criterion.function

    def score(unit: ArrayUnit, statistics: WeightOnlyStatistics | None) -> np.ndarray:
        found = function(unit, statistics) if criterion.needs else function(unit)
        if found is None:
            raise ValueError(
                f"The inputs of '{unit.path}' are unknown, so {name!r} cannot score it. Leave the layer alone, with "
                f"targets={{{unit.layer!r}: None}}, or choose another importance. Received: importance={name!r}"
            )
        if found.size != unit.values.size:  # by input position
            assert statistics is not None
            found = statistics.spread(unit, found)
        if criterion.of_neurons:
            found = found / (found.mean() or 1) * np.abs(unit.slices()[:, 0])
        return found.reshape(unit.values.shape).astype(unit.values.dtype, copy=False)

    return score


def _same_each_time(seed: int) -> Callable[[ArrayUnit], np.ndarray | None]:
    """Random scores that are the same in each pass over an array: ranking several arrays takes more than one."""
    return lambda unit: Random((seed, zlib.crc32(unit.path.encode())))(unit)
