"""`MaskConstraint`: what holds the mask of a weight, whoever trains it.

Keras's optimizers call the constraint of a variable after each update, so a masked weight remains zero also where a
model trains that knows nothing of masks: a student in a custom `train_step`, a submodel alone, a custom loop. After the
steps of PyTorch's optimizers, it is called here (torch_steps.py). The step of a `PrunedModel` (pruned_model.py) does
more, and faster.

Not in a pure step (JAX): a constraint is not given the state, and a mask read as a variable would be a constant of the
compiled step. There it warns, if it is Keras that trains the model.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras import ops

from keras_prune import _keras
from keras_prune.masking.clusters import SharedWeight
from keras_prune.masking.torch_steps import finish_after_steps

Constraint = Callable[[Any], Any]


class MaskConstraint(keras.constraints.Constraint):  # of another class a variable takes none before Keras 3.15
    """Constraint that keeps the pruned entries of a weight at zero, and the members of its clusters equal.

    Args:
        mask: Variable of the weight's shape, 1 = kept, 0 = pruned.
        inner: The constraint that the weight had, applied first. Defaults to None: it had none.
    """

    def __init__(self, mask: keras.Variable, inner: Constraint | None = None):
        self.mask = mask
        self.inner = inner
        self.shared: SharedWeight | None = None

    @property
    def of_copies(self) -> Constraint | None:
        """The constraint of a copy of the weight, which has no mask, or one of its own."""
        return self.inner

    def __call__(self, weight: Any) -> Any:
        """The value that the weight must have. Keras assigns it."""
        value = weight if self.inner is None else self.inner(weight)
        if _keras.is_pure_step():
            _warn_of_lost_masks()
            return value
        average = _keras.average_in_update(weight)
        if average is not None:  # taken before the constraint is called
            average.assign(self.project(average.value))
        return self.project(value.value if isinstance(value, keras.Variable) else value)

    def project(self, value: Any) -> Any:
        """The value with zeros where the mask prunes, and the means of clusters."""
        value = ops.stop_gradient(value)
        if self.shared is not None:
            return self.shared.project(value, self.mask.value)
        return value * ops.cast(self.mask.value, value.dtype)


def hold(weights: Iterable[keras.Variable], masks: Iterable[keras.Variable]) -> None:
    """Gives each weight the constraint that holds its mask."""
    held = list(weights)
    for weight, mask in zip(held, masks, strict=True):
        weight.constraint = MaskConstraint(mask, plain_constraint(weight))
    finish_after_steps(held, _apply)


def release(weights: Iterable[keras.Variable]) -> None:
    """Gives each weight the constraint back that it had before `hold`."""
    for weight in weights:
        weight.constraint = plain_constraint(weight)


def share(weights: Iterable[keras.Variable], shared: Iterable[SharedWeight | None]) -> None:
    """Tells the constraints of masked weights their clusters."""
    for weight, each in zip(weights, shared, strict=True):
        if isinstance(weight.constraint, MaskConstraint):
            weight.constraint.shared = each


def plain_constraint(weight: keras.Variable) -> Constraint | None:
    """The constraint of a weight, whatever its mask."""
    found = weight.constraint
    return found.inner if isinstance(found, MaskConstraint) else found


def _apply(weight: keras.Variable) -> None:
    """Applies the mask of a weight, if it has one still, after an update that called no constraint."""
    if isinstance(weight.constraint, MaskConstraint):
        weight.assign(weight.constraint.project(weight.value))


def _warn_of_lost_masks() -> None:
    model = _keras.model_in_fit()
    if model is not None and not hasattr(model, "_plain_class"):  # that of a PrunedModel, whose step has the masks
        warnings.warn(
            f"The model '{model.name}' has masks in it, but does not apply them while it trains on JAX: pruned weights "
            "come back. Pass it through `wrap_pruning`, end its `train_step` with `stateless_apply_masks`, or call "
            "`apply_masks(model)` after each step.",
            stacklevel=2,
        )
