"""`PruningWrapper`: a layer and its masks.

The wrapper is passive. It calls its layer and holds the masks as state; the training step (pruned_model.py) or else the
optimizer (mask_constraint.py) keeps the weights at zero, and callbacks change the masks (callbacks/).
"""

import functools
import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import keras

from keras_prune import _keras
from keras_prune.masking.clusters import ATTRIBUTE as CLUSTERS
from keras_prune.masking.clusters import WeightClusters
from keras_prune.masking.mask_constraint import release, share
from keras_prune.masking.prunable import Held, find_prunable
from keras_prune.masking.pruning_masks import ATTRIBUTE, Places, PruningMasks, Untracked
from keras_prune.validation import check_layer

_NOT_SHAPES = {"training", "mask"}


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
        weights: Where the masked weights are in the layer, as files say it. Defaults to None: all that can be pruned
            are masked.
        **kwargs: Arguments of `keras.Layer`. Default to those of `layer`.
    """

    def __new__(cls, layer: keras.Layer, **kwargs: Any) -> Self:
        check_layer(layer, "layer")
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
        self,
        layer: keras.Layer,
        *,
        movement: bool = False,
        clusters: Sequence[int | None] = (),
        weights: Places | None = None,
        **kwargs: Any,
    ):
        inherited = {"name": layer.name, "dtype": layer.dtype_policy, "trainable": layer.trainable}
        super().__init__(layer, **{**inherited, **kwargs})
        self.supports_masking = layer.supports_masking
        self.movement = movement
        self.clusters = tuple(clusters)
        self._places = None if weights is None else Untracked(dict(weights))
        _keras.convert_inputs_like(self, layer)

    def around(self, layer: keras.Layer) -> Self:
        """A new wrapper with the settings of this one, around another layer."""
        return type(self)(layer, movement=self.movement, clusters=self.clusters, weights=self.weights_at)

    @property
    def weights_at(self) -> Places | None:
        """Where the masked weights are in the layer; None while it is not built."""
        masks = getattr(self, ATTRIBUTE, None)
        if masks is None:
            return None if self._places is None else self._places.values
        return masks.places(self.layer)

    def build(self, *args: Any, **kwargs: Any) -> None:
        if _keras.has_unbuilt_state(self.layer):
            self._build_by_calling(*args, **kwargs)
        elif not self.layer.built:
            self._build_layer(*args, **kwargs)
        held = _held(self.layer, self.weights_at)
        setattr(self, ATTRIBUTE, PruningMasks(held, self.movement))
        if self.clusters:
            attach_clusters(self, self.clusters)

    def _build_layer(self, *args: Any, **kwargs: Any) -> None:
        if _keras.has_default_build(self.layer):  # Keras's own, which has no weights to make from the shapes
            self.layer.build(next(iter([*args, *kwargs.values()]), None))
        else:
            self.layer.build(*args, **kwargs)

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
        forget_lost_masks(self)
        own: dict[str, Any] = {"movement": True} if self.movement else {}
        places = self.weights_at
        own |= {} if places is None else {"weights": {name: dict(place) for name, place in places.items()}}
        config = super().get_config()
        _keras.share_in_file(self.layer, config["layer"])  # another layer may hold it too
        return config | own | ({"clusters": list(self.clusters)} if self.clusters else {})

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


def attach_masks(layer: keras.Layer, movement: bool = False, weights: Places | None = None) -> None:
    """Adds masks to a built layer in place, without a wrapper: for subclassed models, which have no graph.

    Args:
        layer: The layer.
        movement: As in `PruningWrapper`. Defaults to False.
        weights: As in `PruningWrapper`. Defaults to None: all that can be pruned are masked.
    """
    held = _held(layer, weights)
    with ExitStack() as stack:
        for name in layer.path.split("/") if layer.path else ():
            stack.enter_context(keras.name_scope(name))  # so that the paths of variables are unique, as those of Keras
        masks = PruningMasks(held, movement)
    masks.name = layer.name  # by which `quantize` of a model chooses, and they answer for their layer
    with _keras.unlocked(layer):
        setattr(layer, ATTRIBUTE, masks)


def detach_masks(layer: keras.Layer) -> None:
    """Removes the masks that `attach_masks` added."""
    release(_masked(layer))
    _keras.remove_sublayer(layer, ATTRIBUTE)


def attach_clusters(layer: keras.Layer, clusters: Sequence[int | None]) -> None:
    """Adds the variables of clusters to a built layer with masks, wrapped or not, in place."""
    found = _clusters_of(layer, clusters)
    with _keras.unlocked(layer):
        setattr(layer, CLUSTERS, found)
    share(_masked(layer), found.shared)
    if isinstance(layer, PruningWrapper):
        layer.clusters = tuple(clusters)


def detach_clusters(layer: keras.Layer) -> None:
    """Removes the clusters of a layer, if it has some."""
    if hasattr(layer, CLUSTERS):
        masked = _masked(layer)
        share(masked, [None] * len(masked))
        _keras.remove_sublayer(layer, CLUSTERS)
    if isinstance(layer, PruningWrapper):
        layer.clusters = ()


@contextmanager
def masks_aside(model: keras.Layer) -> Iterator[None]:
    """While this holds, layers with masks in a model look as if they had none. Then the masks that have lost their
    weights are removed."""
    found = [
        (layer, name, getattr(layer, name))
        for layer in _keras.flatten(model)
        for name in (ATTRIBUTE, CLUSTERS)
        if hasattr(layer, name)
    ]
    for layer, name, _ in found:
        _keras.remove_sublayer(layer, name)
    try:
        yield
    finally:
        for layer, name, part in found:
            with _keras.unlocked(layer):
                setattr(layer, name, part)
        for layer, name, _ in found:
            if name == ATTRIBUTE:
                forget_lost_masks(layer)


def forget_lost_masks(layer: keras.Layer) -> None:
    """Removes the masks and clusters of weights that a layer with masks no longer has, as it was quantised."""
    masks = getattr(layer, ATTRIBUTE, None)
    if masks is None:
        return
    alive = [row.held.is_alive for row in masks.rows]
    if all(alive):
        return
    masks.keep(alive)
    if hasattr(layer, CLUSTERS):
        clusters = layer.weight_clusters
        clusters.keep(alive)
        if not any(clusters.clusters):
            detach_clusters(layer)
        elif isinstance(layer, PruningWrapper):
            layer.clusters = clusters.clusters


def _held(layer: keras.Layer, weights: Places | None) -> dict[str, Held]:
    if weights is None:
        return find_prunable(layer).held
    return {name: Held.at(layer, place) for name, place in weights.items()}


def _clusters_of(layer: keras.Layer, clusters: Sequence[int | None]) -> WeightClusters:
    return WeightClusters({row.name: row.held.weight for row in getattr(layer, ATTRIBUTE).rows}, clusters)


def _masked(layer: keras.Layer) -> list[keras.Variable]:
    """The weights that the masks of a layer belong to."""
    return [row.held.weight for row in getattr(layer, ATTRIBUTE).rows]
