"""`PrunedModel`: the class of a model with masks, which hold while it trains and are saved with it.

A pruned model has the class it had before, extended by `PrunedModel`: its `train_step` ends with `weight * mask`, so
stored weights are exactly zero under the mask after every step, and whatever reads them (the forward pass, validation,
checkpoints, export) gets the pruned model. No callback is needed for that, on any backend, also after loading.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

import keras

from keras_prune import _keras
from keras_prune.masking.mask_constraint import plain_constraint
from keras_prune.masking.masked_weights import (
    MaskedWeight,
    apply_masks,
    find_masked,
    make_masks_binary,
    masked_sparsity,
    stateless_apply_masks,
    stateless_mask_averages,
    walk_layers,
)
from keras_prune.masking.movement import add_movement, seen_movement, stateless_add_movement
from keras_prune.masking.plain_shell import plain_shell
from keras_prune.masking.presets import save_to_preset
from keras_prune.masking.prunable import find_prunable
from keras_prune.masking.training_data import TrainingData
from keras_prune.masking.unpruned import charges, warn_after_fit
from keras_prune.masking.wrapper import (
    ATTRIBUTE,
    CLUSTERS,
    PruningMasks,
    PruningWrapper,
    attach_clusters,
    attach_masks,
    forget_lost_masks,
    masks_aside,
)

_register = keras.saving.register_keras_serializable(package="keras_prune", name="PrunedModel")
_PRUNED_CLASSES: dict[type, type] = {}


@_register
class PrunedModel:
    """Mixin of the class of a model with masks: its training step applies them. `wrap_pruning` makes such models."""

    _plain_class: type
    train_function: Any
    optimizer: Any  # of the class it is mixed into

    def train_step(self, *args: Any) -> Any:
        """Run the training step of the model, then `weight * mask`, and the means of clusters."""
        step = super().train_step  # type: ignore[misc]  # the class it is mixed into has it
        backend = keras.backend.backend()
        held = self._held_by_optimizer()
        if backend == "torch" and held and not self._moves:  # nothing that `torch.compile` could stumble over
            return step(*args)
        weights = find_masked(self)
        if backend == "jax":
            return self._stateless_step(step, weights, *args)
        folded = self._folded(weights) if held and backend == "tensorflow" else []
        with seen_movement(self, weights) as moved, _masked_writes(self.optimizer, folded) as written:
            result = step(*args)
        add_movement(moved)
        for masked in folded if held else weights:
            if id(masked.weight) not in written and masked.weight.trainable:
                masked.weight.assign(masked.project(keras.ops.stop_gradient(masked.weight.value)))
        return result

    def make_train_function(self, force: bool = False) -> Any:
        """Compile the training step, as in Keras: it multiplies by masks, which must be 0 or 1."""
        if self.train_function is None or force:
            make_masks_binary(find_masked(self))
        return super().make_train_function(force)  # type: ignore[misc]

    def _stateless_step(self, step: Callable[..., Any], weights: list[MaskedWeight], *args: Any) -> Any:
        with seen_movement(self, weights) as moved:
            logs, (trainable, non_trainable, optimizer, *others) = step(*args)
        non_trainable = stateless_add_movement(self, moved, non_trainable)
        # The masks are read from the state that the step is given: read as variables they would be constants of the
        # compiled step, and never change.
        trainable = stateless_apply_masks(self, trainable, non_trainable)
        optimizer = stateless_mask_averages(self, optimizer, non_trainable)
        return logs, (trainable, non_trainable, optimizer, *others)

    @property
    def _moves(self) -> bool:
        """Whether the step adds up the movement of weights."""
        return any(isinstance(part, PruningMasks) and part.has_movements for part in _keras.flatten(self))

    def _held_by_optimizer(self) -> bool:
        """Whether the constraints of masked weights are called last in a step, so that nothing is left to do."""
        own_step = self._plain_class.train_step is not keras.Model.train_step  # type: ignore[attr-defined]
        return not own_step and _keras.calls_constraints(self.optimizer)

    def _folded(self, weights: list[MaskedWeight]) -> list[MaskedWeight]:
        """The weights that the optimizer itself masks, where it writes them last, in place of their constraints."""
        if not _keras.writes_last(self):
            return []
        return [each for each in weights if each.shared is None and plain_constraint(each.weight) is None]

    def set_weights(self, weights: list[Any]) -> None:
        """Set the weights, as in Keras; warns when they restore a less sparse model, masks included.

        Of the mean of the weights of several models each weight is kept that one of them keeps.
        """
        before = masked_sparsity(find_masked(self))
        super().set_weights(weights)  # type: ignore[misc]
        masked = find_masked(self)
        make_masks_binary(masked)
        for weight in masked:
            weight.apply()
        after = masked_sparsity(masked)
        if after < before:
            warnings.warn(
                f"The weights that were set restore masks of sparsity {after:.4f}; the model had {before:.4f}. "
                "`EarlyStopping(restore_best_weights=True)` does this when the best epoch came before pruning was "
                "done: pass it `start_from_epoch`, an epoch after the schedule's `end_step`.",
                stacklevel=2,
            )

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Quantise weights, as in Keras. What is pruned remains zero; the masks of quantised weights are removed."""
        if not isinstance(self, PrunedModel):  # it was, when Keras wrapped this method for it
            type(self).quantize(self, *args, **kwargs)
            return
        apply_masks(self)
        with masks_aside(self):  # Keras quantises layers without sublayers
            quantize: Any = vars(self).get("_plain_quantize", super().quantize)  # type: ignore[misc]
            quantize(*args, **kwargs)
        _keras.track_again(self)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the model, as in Keras."""
        with _numbered(self):
            super().save(*args, **kwargs)  # type: ignore[misc]

    def save_weights(self, *args: Any, **kwargs: Any) -> None:
        """Save the weights, as in Keras, and which layers have masks."""
        with _numbered(self):
            super().save_weights(*args, **kwargs)  # type: ignore[misc]

    def load_weights(self, *args: Any, **kwargs: Any) -> None:
        """Load weights, as in Keras, into a model whose layers with masks are those of the file.

        Raises:
            ValueError: They are others: Keras finds wrapped layers by their order, so it would mistake one for another.
        """
        with _numbered(self):
            super().load_weights(*args, **kwargs)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        plain = keras.saving.serialize_keras_object(plain_shell(self))
        plain.pop("compile_config", None)  # Keras saves it with the pruned model
        layers = enumerate(layer for _, layer in walk_layers(self))
        return {"model": plain, "attached": [_attached(place, each) for place, each in layers if _is_attached(each)]}

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train the model, as in Keras; warns once if it had no callback that prunes, and its masks prune nothing.

        Callbacks whose importance is measured on data find the training data here.
        """
        fit = super().fit  # type: ignore[misc]
        given = inspect.signature(fit).bind(*args, **kwargs).arguments  # its class may have one with other arguments
        given |= given.pop("kwargs", {})
        data = TrainingData.of_fit(given) if "x" in given else None
        object.__setattr__(self, "_training_data", data)  # not an attribute that Keras tracks
        _build_optimizer(self)
        make_masks_binary(find_masked(self))
        before = charges(self)
        try:
            with _keras.ends_in_background(given.get("callbacks")):
                history = fit(*args, **kwargs)
        finally:
            object.__delattr__(self, "_training_data")
        apply_masks(self)  # the optimizer wrote its moving averages into the weights after the last epoch
        warn_after_fit(self, before)
        return history

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects=custom_objects)
        layers = [layer for _, layer in walk_layers(model)]
        for found in config["attached"]:
            layer = layers[found["layer"]]
            attach_masks(layer, found["movement"], found["weights"])
            if found["clusters"]:
                attach_clusters(layer, found["clusters"])
        return keep_masks(model)

    def __reduce__(self) -> tuple[Any, ...]:
        # Keras passes a method of the model's class, which pickle finds by its name: it would find the plain class.
        reduced: Any = super().__reduce__()
        load, arguments = reduced
        return _unpickle, (getattr(self._plain_class, load.__name__), *arguments)

    def get_build_config(self) -> None:
        return None  # the model inside the configuration has its own


def _unpickle(load: Callable[..., keras.Model], *arguments: Any) -> keras.Model:
    """A function of this package, so that unpickling a pruned model imports the package."""
    return load(*arguments)


def keep_masks(model: keras.Model) -> keras.Model:
    """Extends the class of a model with masks by `PrunedModel`, in place, and returns the model."""
    if not isinstance(model, PrunedModel):
        _set_class(model, _pruned_class(type(model)))
        wrapped = vars(model).get("quantize")  # by Keras, for each instance: it hides that of the class
        if wrapped is not None and getattr(wrapped.__wrapped__, "__func__", None) is not PrunedModel.quantize:
            object.__setattr__(model, "_plain_quantize", vars(model).pop("quantize"))
    for masked in find_masked(model):
        for variable in (masked.mask, masked.movement):
            if variable is not None:
                _keras.spread_like(variable, masked.weight)
    _keras.track_again(model)
    return model


def drop_masks(model: keras.Model) -> keras.Model:
    """Restores the class that a model had before `keep_masks`, in place, and returns the model."""
    if isinstance(model, PrunedModel):
        _set_class(model, model._plain_class)
        if "_plain_quantize" in vars(model):
            object.__setattr__(model, "quantize", vars(model).pop("_plain_quantize"))
    _keras.track_again(model)
    return model


def _build_optimizer(model: keras.Model) -> None:
    """Makes the optimizer's variables before `fit`, as Keras does on its other backends.

    Made in the first step, on TensorFlow, they let it trace that step twice: seconds for a large model.
    """
    if keras.backend.backend() != "tensorflow" or not (model.built and model.compiled and model.trainable_variables):
        return
    if model.optimizer is not None and not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)


def _pruned_class(plain: type) -> type:
    if plain in _PRUNED_CLASSES:
        return _PRUNED_CLASSES[plain]
    members: dict[str, Any] = {"_plain_class": plain, "__doc__": plain.__doc__, "__module__": plain.__module__}
    if hasattr(plain, "save_to_preset"):  # of keras_hub
        members["save_to_preset"] = save_to_preset
    cls = _register(type(plain.__name__, (PrunedModel, plain), members))
    _register(PrunedModel)  # files name "PrunedModel": loading starts there, not at the class made last
    _PRUNED_CLASSES[plain] = cls
    return cls


def _set_class(model: keras.Model, cls: type) -> None:
    object.__setattr__(model, "__class__", cls)
    model.train_function = None  # compiled with the other class's step


@contextmanager
def _numbered(model: PrunedModel) -> Iterator[None]:
    """While this holds, masks know the place of their layer among the layers of this model that can be pruned."""
    layers = [layer for _, layer in walk_layers(model)]
    prunable = [layer for layer in layers if hasattr(layer, ATTRIBUTE) or find_prunable(layer).weights]
    places = {index: layer.pruning_masks for index, layer in enumerate(prunable) if hasattr(layer, ATTRIBUTE)}
    for place, masks in places.items():
        masks.place = place
    try:
        yield
    finally:
        for masks in places.values():
            masks.place = None


def _masked_writes(optimizer: Any, folded: list[MaskedWeight]) -> AbstractContextManager[set[int]]:
    pairs = [(masked.weight, masked.mask) for masked in folded]
    return _keras.masked_writes(optimizer, pairs) if pairs else nullcontext(set())


def _attached(place: int, layer: Any) -> dict[str, Any]:
    """The masks that a layer has in place: for which of its weights. It is named by its position in the model, since
    the names of layers may be automatic ones, which differ from one process to the next."""
    forget_lost_masks(layer)
    masks, clusters = getattr(layer, ATTRIBUTE), getattr(layer, CLUSTERS, None)
    return {
        "layer": place,
        "weights": masks.places(layer),
        "movement": masks.has_movements,
        "clusters": [] if clusters is None else list(clusters.clusters),
    }


def _is_attached(layer: keras.Layer) -> bool:
    return hasattr(layer, "pruning_masks") and not isinstance(layer, PruningWrapper)
