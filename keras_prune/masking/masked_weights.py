"""Masked weights: finding them in a model, and applying their masks."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.masking.binary import make_binary
from keras_prune.masking.clusters import ATTRIBUTE as CLUSTERS
from keras_prune.masking.clusters import SharedWeight
from keras_prune.masking.layouts import find_axes
from keras_prune.masking.mask_state import MaskState
from keras_prune.masking.prunable import Held
from keras_prune.masking.wrapper import ATTRIBUTE, PruningMasks, PruningWrapper
from keras_prune.selection.layout import Axes
from keras_prune.validation import check_layer


@dataclasses.dataclass(frozen=True)
class MaskedWeight:
    """Weight and its mask.

    Args:
        layer: Path of the layer: `"conv1"`, or `"encoder/conv1"` in a nested model.
        name: Name of the weight in the layer: `"kernel"`, `"query/kernel"`.
        weight: The variable, which is 0 where `mask` is 0.
        mask: Variable of the same shape, 1 = kept, 0 = pruned. (Other numbers count as 1: see `make_masks_binary`.)
        held: The weight in the layer that holds it itself, perhaps a sublayer.
        movement: Variable in which -Σ w·∂loss/∂w is added up while the model trains. Defaults to None: there is none.
        shared: The clusters of its entries. Defaults to None: there are none.
    """

    layer: str
    name: str
    weight: keras.Variable
    mask: keras.Variable
    held: Held
    movement: keras.Variable | None = None
    shared: SharedWeight | None = None

    @property
    def path(self) -> str:
        """Path of the weight: `"encoder/conv1/kernel"`."""
        return f"{self.layer}/{self.name}"

    @property
    def axes(self) -> Axes:
        """How the weight is a matrix."""
        return find_axes(self.held.layer, self.held.name, len(self.weight.shape))

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.weight.shape))

    def kept(self) -> np.ndarray:
        """The mask as a boolean array, True = kept."""
        return _keras.as_numpy(self.mask) != 0

    def come_back(self) -> int:
        """How many of its entries are not zero though the mask prunes them."""
        return int(np.count_nonzero(_keras.as_numpy(self.weight)[~self.kept()]))

    def project(self, value: Any, read: Callable[[keras.Variable], Any] = lambda variable: variable.value) -> Any:
        """A value of the weight with zeros where the mask prunes, and the means of clusters.

        Args:
            value: The value.
            read: Function that reads the value of a variable, in a pure step from its state. Defaults to `.value`.
        """
        mask = read(self.mask)
        if self.shared is not None:
            return self.shared.project(value, mask, read)
        value = ops.convert_to_tensor(value)
        return ops.where(ops.not_equal(mask, 0), value, ops.zeros_like(value))

    def apply(self) -> None:
        """Makes the members of each cluster equal, and writes exact zeros where the mask prunes."""
        values = self.weight.value
        if self.shared is not None:
            values = self.shared.project(values, self.mask.value)
        # `where`, since a product would leave minus zeros.
        self.weight.assign(ops.where(ops.cast(self.mask.value, "bool"), values, 0.0))

    def set_mask(self, kept: np.ndarray) -> None:
        """Gives the mask new values, True = kept. The weight is not changed."""
        self.mask.assign(ops.cast(ops.convert_to_tensor(kept), self.mask.dtype))
        self.recount()

    def recount(self) -> None:
        """Counts the members of clusters, if there are any, after the mask has changed."""
        if self.shared is not None:
            self.shared.recount(self.kept())


def walk_layers(model: keras.Layer) -> Iterator[tuple[str, keras.Layer]]:
    """Yields the path and the layer of each layer in a model, each layer once. Models in the model are entered, but
    not composite layers: those are pruned as one. So are subclassed models in a graph, which is copied, unless they
    have masks in place already."""
    yield from _walk(model, "", {id(model)}, not _keras.is_graph(model))


def _walk(model: keras.Layer, prefix: str, seen: set[int], in_place: bool) -> Iterator[tuple[str, keras.Layer]]:
    for layer in _keras.sublayers(model):
        if id(layer) in seen or isinstance(layer, keras.layers.InputLayer | MaskState):
            continue
        seen.add(id(layer))
        path = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model) and (in_place or _keras.is_graph(layer) or _has_masks(layer)):
            yield from _walk(layer, f"{path}/", seen, in_place or not _keras.is_graph(layer))
        else:
            yield path, layer


def _has_masks(model: keras.Model) -> bool:
    return any(isinstance(part, PruningMasks) for part in _keras.flatten(model))


def inner_layer(layer: keras.Layer) -> keras.Layer:
    """The layer that holds the weights: the wrapped one, if it is wrapped."""
    return layer.layer if isinstance(layer, PruningWrapper) else layer


def plain_weights(model: keras.Layer) -> list[keras.Variable]:
    """The weights of a model or layer, without masks and clusters."""
    states = [part for part in _keras.flatten(model) if isinstance(part, MaskState)]
    extra = {id(variable) for state in states for variable in state.variables}
    return [weight for weight in model.weights if id(weight) not in extra]


def find_masked(model: keras.Layer) -> list[MaskedWeight]:
    """All masked weights of a model, or of a wrapped layer."""
    layers = walk_layers(model) if isinstance(model, keras.Model) else [(model.name, model)]
    found: list[MaskedWeight] = []
    for path, layer in layers:
        masks = getattr(layer, ATTRIBUTE, None)
        if masks is not None:
            clusters = getattr(layer, CLUSTERS, None)
            shared = [None] * len(masks.rows) if clusters is None else clusters.shared
            found += [
                MaskedWeight(path, row.name, row.held.weight, row.mask, row.held, row.movement, each)
                for row, each in zip(masks.rows, shared, strict=True)
                if row.held.is_alive
            ]
    return found


def masked_sparsity(weights: Sequence[MaskedWeight]) -> float:
    """The fraction of these weights that their masks prune."""
    kept = sum(int(np.count_nonzero(weight.kept())) for weight in weights)
    return 1.0 - kept / sum(weight.size for weight in weights) if weights else 0.0


def make_masks_binary(weights: Sequence[MaskedWeight]) -> None:
    """Makes the masks of these weights 0 or 1, after they were given values from outside; warns if they had others."""
    if make_binary({weight.path: weight.mask for weight in weights}):
        for weight in weights:
            weight.recount()


def warn_of_values_under_masks(model: keras.Layer) -> None:
    """Warns of pruned weights that are no longer zero, and that the caller sets to zero now."""
    weights = find_masked(model)
    counts = {weight.path: weight.come_back() for weight in weights}
    if any(counts.values()):
        listed = ", ".join(f"'{path}' ({count:,})" for path, count in counts.items() if count)
        warnings.warn(
            f"{sum(counts.values()):,} pruned weights had come back, and are set to zero: the outputs change. A loop "
            "that updates weights itself must call `apply_masks(model)` after each update, and a pure step on JAX must "
            f"end with `stateless_apply_masks`. Received: '{model.name}' with values under the masks of {listed}",
            stacklevel=3,
        )


def apply_masks(model: keras.Layer) -> None:
    """Set every pruned weight of a model to exactly zero, and the weights of each cluster to their mean.

    `fit` and `train_on_batch` do this themselves after each step, and the optimizers of Keras and of PyTorch wherever
    they are applied, except in a pure step of JAX. Call it after each update by anything else, and after assigning
    weights.

    Args:
        model: A model, or a layer, from `wrap_pruning`. It is changed in place.

    Raises:
        TypeError: `model` is no model or layer.

    Example:

    ```python
    for x, y in batches:
        ...  # gradients
        for variable, gradient in zip(model.trainable_variables, gradients):
            variable.assign_sub(0.01 * gradient)
        apply_masks(model)
    ```
    """
    check_layer(model)
    for weight in find_masked(model):
        weight.apply()


def stateless_apply_masks(
    model: keras.Layer, trainable_variables: Sequence[Any], non_trainable_variables: Sequence[Any]
) -> list[Any]:
    """Apply masks and clusters as a pure function: `apply_masks` for JAX training loops that carry the model's state.

    Args:
        model: A model from `wrap_pruning`.
        trainable_variables: Values of `model.trainable_variables`, in that order.
        non_trainable_variables: Values of `model.non_trainable_variables`, in that order, masks and clusters among
            them.

    Returns:
        The new values of the trainable variables.

    Raises:
        TypeError: `model` is no Keras model or layer.
        ValueError: The values are not those of the model: of another number, or another shape.

    Example:

    ```python
    trainable, optimizer_state = optimizer.stateless_apply(optimizer_state, gradients, trainable)
    trainable = stateless_apply_masks(model, trainable, non_trainable)
    ```
    """
    check_layer(model)
    given = {"trainable_variables": trainable_variables, "non_trainable_variables": non_trainable_variables}
    for name, values in given.items():
        variables = getattr(model, name)
        if not isinstance(values, Sequence) or [np.shape(v) for v in values] != [tuple(v.shape) for v in variables]:
            raise ValueError(
                f"`{name}` must be the values of `model.{name}`: {len(variables)} of them, in that order. "
                f"Received: {name}={type(values).__name__} of {len(values) if isinstance(values, Sequence) else 'none'}"
            )
    at = {id(variable): index for index, variable in enumerate(model.trainable_variables)}
    return _masked_state(model, trainable_variables, at, non_trainable_variables)  # frozen weights do not change


def stateless_mask_averages(
    model: keras.Model, optimizer_variables: Sequence[Any], non_trainable_variables: Sequence[Any]
) -> Sequence[Any]:
    """The same for the moving averages of masked weights in the optimizer, which sees the weights before their masks.

    Args:
        model: A compiled model.
        optimizer_variables: Values of `model.optimizer.variables`, in that order.
        non_trainable_variables: Values of `model.non_trainable_variables`, in that order.

    Returns:
        The new values of the optimizer's variables.
    """
    averages = _keras.moving_averages(model.optimizer)
    if not averages:
        return optimizer_variables
    places = {id(variable): index for index, variable in enumerate(model.optimizer.variables)}
    at = {weight: places[id(average)] for weight, average in averages.items()}
    return _masked_state(model, optimizer_variables, at, non_trainable_variables)


def _masked_state(
    model: keras.Layer, values: Sequence[Any], at: Mapping[int, int], non_trainable_variables: Sequence[Any]
) -> list[Any]:
    """The values with masks and clusters applied to each that is that of a masked weight, `at` its `id`."""
    state_at = {id(variable): index for index, variable in enumerate(model.non_trainable_variables)}

    def read(variable: keras.Variable) -> Any:
        return non_trainable_variables[state_at[id(variable)]]

    masked = list(values)
    for weight in find_masked(model):
        index = at.get(id(weight.weight))
        if index is not None:
            masked[index] = weight.project(masked[index], read)
    return masked
