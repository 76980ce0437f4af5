"""`PruningWrapper`: a layer and its masks.

The wrapper is passive. It calls its layer and holds the masks as state; the training step (pruned_model.py) or else the
optimizer (mask_constraint.py) keeps the weights at zero, and callbacks change the masks (callbacks/).
"""

import functools
import inspect
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.masking.clusters import ATTRIBUTE as CLUSTERS
from keras_prune.masking.clusters import WeightClusters
from keras_prune.masking.mask_constraint import hold, release, share
from keras_prune.masking.prunable import Weights, find_prunable

ATTRIBUTE = "pruning_masks"
_PLACE = "place"
_NOT_SHAPES = {"training", "mask"}


class PruningMasks(keras.layers.Layer):
    """Layer that holds the masks of another layer's weights: an attribute of its wrapper or, in a subclassed model, of
    the layer itself. Never called.

    A mask is a non-trainable variable of the shape and type of its weight, 1 = kept, 0 = pruned. So checkpoints,
    `.keras` files and distribution need no extra code. Floats, not booleans: multiplying by them is the fastest way to
    apply a mask on every backend.

    Args:
        weights: The layer's prunable variables by name.
        movement: Whether there is also a variable for the movement of each weight, which the training step adds up.
            Defaults to False.
    """

    def __init__(self, weights: Weights, movement: bool = False):
        super().__init__(name=ATTRIBUTE)
        self._masks = []
        self._movements = []
        for name, weight in weights.items():
            mask = self.add_weight(
                name=f"{name.replace('/', '_')}_mask",
                shape=weight.shape,
                initializer="ones",
                dtype=weight.dtype,
                trainable=False,
                autocast=False,
            )
            self._masks.append(mask)
        for name, weight in weights.items() if movement else ():
            moved = self.add_weight(
                name=f"{name.replace('/', '_')}_movement",
                shape=weight.shape,
                initializer="zeros",
                dtype="float32",
                trainable=False,
                autocast=False,
                aggregation="mean",  # over the replicas of a distributed step
            )
            self._movements.append(moved)
        self.place: int | None = None  # of the layer among the prunable ones, while a model saves or loads weights
        self.built = True

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        if self.place is not None:
            store[_PLACE] = np.int64(self.place)

    def load_own_variables(self, store: Any) -> None:
        values = {key: store[key] for key in store.keys()}  # noqa: SIM118  # not a dict
        place = values.pop(_PLACE, None)
        if place is not None and self.place is not None and int(place[()]) != self.place:
            raise ValueError(
                "The file has masks of other layers than the model, so its weights belong to other layers too; some "
                "may be loaded already. Choose the layers as in the file: `wrap_pruning(model, layers=...)`. "
                f"Received: masks of prunable layer {int(place[()])} for prunable layer {self.place}, counted from 0"
            )
        super().load_own_variables(values)

    @property
    def masks(self) -> list[keras.Variable]:
        """The masks in the order of the layer's prunable weights. (Their names may differ from copy to copy: Keras
        numbers the sublayers that were given none.)"""
        return list(self._masks)

    @property
    def has_movements(self) -> bool:
        """Whether there are variables for the movement."""
        return bool(self._movements)

    @property
    def movements(self) -> list[keras.Variable | None]:
        """The variables for the movement of each weight, in the same order; None where there is none."""
        return list(self._movements) or [None] * len(self._masks)


@keras.saving.register_keras_serializable(package="keras_prune")
class PruningWrapper(keras.layers.Wrapper):
    """Wrapper that holds a layer and a mask for each of its prunable weights. `wrap_pruning` makes it.

    It has the layer's name, takes the layer's call arguments and returns the layer's outputs. The layer itself is
    `wrapper.layer`.

    Args:
        layer: The layer to wrap. It is not copied.
        movement: Whether the training step adds up the movement of its weights; see `wrap_pruning`. Defaults to False.
        clusters: For each prunable weight its number of clusters, or None if it has none; see `cluster_weights`.
            Defaults to ().
        **kwargs: Arguments of `keras.Layer`. Default to those of `layer`.
    """

    def __new__(cls, layer: keras.Layer, **kwargs: Any) -> Self:
        wrapper = super().__new__(cls, layer, **kwargs)

        # Keras reads a layer's call arguments (`training`, `mask`, several inputs) from the signature of `call`.
        # This one has the signature of the layer's own.
        @functools.wraps(layer.call)
        def call(*args: Any, **kwargs: Any) -> Any:
            return layer(*args, **kwargs)

        wrapper.call = call
        _keras.set_build_signature(wrapper, _build_signature(layer))
        return wrapper

    def __init__(
        self, layer: keras.Layer, *, movement: bool = False, clusters: Sequence[int | None] = (), **kwargs: Any
    ):
        inherited = {"name": layer.name, "dtype": layer.dtype_policy, "trainable": layer.trainable}
        super().__init__(layer, **{**inherited, **kwargs})
        self.supports_masking = layer.supports_masking
        self.movement = movement
        self.clusters = tuple(clusters)
        _keras.convert_inputs_like(self, layer)

    def around(self, layer: keras.Layer) -> Self:
        """A new wrapper with the settings of this one, around another layer."""
        return type(self)(layer, movement=self.movement, clusters=self.clusters)

    def build(self, *args: Any, **kwargs: Any) -> None:
        if _keras.has_unbuilt_state(self.layer):
            self._build_by_calling(*args, **kwargs)
        elif not self.layer.built:
            self.layer.build(*args, **kwargs)
        weights = find_prunable(self.layer).weights
        setattr(self, ATTRIBUTE, PruningMasks(weights, self.movement))
        hold(weights.values(), self.pruning_masks.masks)
        if self.clusters:
            setattr(self, CLUSTERS, WeightClusters(weights, self.clusters))
            share(weights.values(), self.weight_clusters.shared)

    def _build_by_calling(self, *args: Any, **kwargs: Any) -> None:
        # Without a `build` of its own, a layer's sublayers are built when it is called: Keras traces such layers too.
        names = inspect.signature(self.build).parameters
        shapes = dict(zip(names, args, strict=False)) | kwargs
        inputs = {
            name.removesuffix("_shape"): _keras.symbolic_tensors(shape, self.layer.compute_dtype)
            for name, shape in shapes.items()
        }
        self.layer(**inputs)

    def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_mask(*args, **kwargs)

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_spec(*args, **kwargs)

    def get_build_config(self) -> Any:
        # A layer without a `build` of its own is built when it is called, so its wrapper must be too.
        return None if _keras.has_default_build(self.layer) else self.layer.get_build_config()

    def build_from_config(self, config: Any) -> None:
        if type(self.layer).build_from_config is keras.Layer.build_from_config:
            super().build_from_config(config)
        else:
            if not self.layer.built:
                self.layer.build_from_config(config)
            self.build()

    def get_config(self) -> dict[str, Any]:
        own = {"movement": True} if self.movement else {}
        return super().get_config() | own | ({"clusters": list(self.clusters)} if self.clusters else {})

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        return super().from_config(dict(config), custom_objects)  # Keras's pops from the dict it is given


def _build_signature(layer: keras.Layer) -> inspect.Signature:
    """The shapes that Keras must pass to `build`: those the layer's own takes, else those of the call's inputs."""
    if not _keras.has_default_build(layer):
        return inspect.signature(layer.build)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [
            inspect.Parameter(f"{parameter.name}_shape", kind)
            for parameter in inspect.signature(layer.call).parameters.values()
            if parameter.name not in _NOT_SHAPES and parameter.kind is kind
        ]
    )


def attach_masks(layer: keras.Layer, movement: bool = False) -> None:
    """Adds masks to a built layer in place, without a wrapper: for subclassed models, which have no graph."""
    weights = find_prunable(layer).weights
    masks = PruningMasks(weights, movement)
    with _keras.unlocked(layer):
        setattr(layer, ATTRIBUTE, masks)
    hold(weights.values(), masks.masks)


def detach_masks(layer: keras.Layer) -> None:
    """Removes the masks that `attach_masks` added."""
    release(find_prunable(layer).weights.values())
    _keras.remove_sublayer(layer, ATTRIBUTE)


def attach_clusters(layer: keras.Layer, clusters: Sequence[int | None]) -> None:
    """Adds the variables of clusters to a built layer with masks, wrapped or not, in place."""
    weights = _weights(layer)
    found = WeightClusters(weights, clusters)
    with _keras.unlocked(layer):
        setattr(layer, CLUSTERS, found)
    share(weights.values(), found.shared)
    if isinstance(layer, PruningWrapper):
        layer.clusters = tuple(clusters)


def detach_clusters(layer: keras.Layer) -> None:
    """Removes the clusters of a layer, if it has some."""
    if hasattr(layer, CLUSTERS):
        share(_weights(layer).values(), [None] * len(layer.weight_clusters.clusters))
        _keras.remove_sublayer(layer, CLUSTERS)
    if isinstance(layer, PruningWrapper):
        layer.clusters = ()


def _weights(layer: keras.Layer) -> Weights:
    return find_prunable(layer.layer if isinstance(layer, PruningWrapper) else layer).weights
