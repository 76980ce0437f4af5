"""`Quadratic`: the error of a layer's outputs as a function of its weights, which all reconstructions minimise."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Quadratic:
    """The mean squared error of a layer's outputs, `Σ wᵀHw - 2wᵀb + c`, summed over its outputs.

    The weights of a layer are an array (groups, inputs, outputs): groups of outputs share inputs, and have inputs of
    their own. Most layers have one group; a depthwise convolution has one for each channel, with its window as inputs.

    Args:
        moments: The second moments of the inputs, H: array (groups, inputs, inputs).
        products: The mean products of inputs and wanted outputs, b: array (groups, inputs, outputs).
        energy: The mean squares of the wanted outputs, c: array (groups, outputs).
    """

    moments: np.ndarray
    products: np.ndarray
    energy: np.ndarray

    @classmethod
    def around(cls, moments: np.ndarray, weights: np.ndarray) -> "Quadratic":
        """The error of other weights than these, whose outputs are the wanted ones."""
        products = moments @ weights
        return cls(moments, products, np.einsum("gio,gio->go", weights, products))

    def damped(self, weights: np.ndarray, ridge: float) -> "Quadratic":
        """The same, and a penalty of changes of these weights: what the inputs say nothing of stays as it is.

        Args:
            weights: The weights from which a change is penalised.
            ridge: Weight of the penalty, relative to the mean second moment of the inputs of each group.
        """
        count = self.moments.shape[-1]
        scale = np.trace(self.moments, axis1=1, axis2=2) / count
        scale = ridge * np.where(scale > 0, scale, 1.0)[:, None, None]
        return Quadratic(
            self.moments + scale * np.eye(count),
            self.products + scale * weights,
            self.energy + scale[:, 0] * np.einsum("gio,gio->go", weights, weights),
        )

    def errors(self, weights: np.ndarray) -> np.ndarray:
        """The error of each output: array (groups, outputs)."""
        left = self.moments @ weights - 2 * self.products
        return np.einsum("gio,gio->go", weights, left) + self.energy

    def error(self, weights: np.ndarray) -> float:
        """The error of all outputs together."""
        return float(self.errors(weights).sum())
