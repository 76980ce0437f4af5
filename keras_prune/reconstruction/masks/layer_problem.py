"""A layer's error as a function of its weights, from its normal equations; the bias is always the best one."""

import dataclasses

import numpy as np

from keras_prune.reconstruction.masks.quadratic import Quadratic
from keras_prune.reconstruction.normal_equations import NormalEquations
from keras_prune.reconstruction.views.linear_view import LinearView

RIDGE = 1e-3
"""Weight of the penalty of changes. Settings from 1e-4 to 1e-2 differ little where there are more rows than inputs."""


@dataclasses.dataclass(frozen=True, eq=False)
class LayerProblem:
    """What is to be solved for the weight of a layer.

    Args:
        view: The weight.
        weights: Its values, array (groups, inputs, outputs).
        measured: The error on the data.
        damped: The same with a penalty of changes, which is what is minimised.
        means: The mean inputs and the mean wanted outputs; None for a layer without a bias.
        rows: From how many rows it was measured.
    """

    view: LinearView
    weights: np.ndarray
    measured: Quadratic
    damped: Quadratic
    means: tuple[np.ndarray, np.ndarray] | None
    rows: int

    @classmethod
    def of(
        cls, view: LinearView, equations: NormalEquations, weights: np.ndarray, ridge: float = RIDGE
    ) -> "LayerProblem":
        """The problem of a weight.

        Args:
            view: The weight.
            equations: Its normal equations.
            weights: The values from which a change is penalised, array (groups, inputs, outputs).
            ridge: Weight of the penalty, relative to the mean second moment of the inputs.
        """
        rows = max(equations.rows, 1)
        gram, cross, energy = equations.gram / rows, equations.cross / rows, equations.squares / rows
        means = None
        if view.bias is not None:  # the last input is a one: the rest of the problem is that of the deviations
            inputs, outputs = gram[:, -1, :-1], cross[:, -1]
            gram = gram[:, :-1, :-1] - inputs[:, :, None] * inputs[:, None]
            cross = cross[:, :-1] - inputs[:, :, None] * outputs[:, None]
            energy, means = energy - np.square(outputs), (inputs, outputs)
        weights = weights.astype(np.float64)
        measured = Quadratic(gram, cross, energy)
        return cls(view, weights, measured, measured.damped(weights, ridge), means, equations.rows)

    def write(self, weights: np.ndarray) -> None:
        """Gives the layer these weights, and the bias that is best with them."""
        self.view.weight.assign(self.view.weights(weights))
        if self.means is not None and self.view.bias is not None:
            inputs, outputs = self.means
            offsets = outputs - np.einsum("gi,gio->go", inputs, weights)
            self.view.bias.assign(self.view.biases(offsets))

    def relative_error(self, weights: np.ndarray) -> float:
        """The error of these weights, as a fraction of the variance of the wanted outputs."""
        total = float(self.measured.energy.sum())
        return max(self.measured.error(weights), 0.0) / total if total > 0 else 0.0
