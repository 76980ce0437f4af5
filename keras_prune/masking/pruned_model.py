"""`PrunedModel`: the class of a model with masks, which hold while it trains and are saved with it.

A pruned model has the class it had before, extended by `PrunedModel`: its `train_step` ends with `weight * mask`, so
stored weights are exactly zero under the mask after every step, and whatever reads them (the forward pass, validation,
checkpoints, export) gets the pruned model. No callback is needed for that, on any backend, also after loading.
"""

import inspect
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import keras

from keras_prune import _keras
from keras_prune.masking.masked_weights import (
    MaskedWeight,
    apply_masks,
    find_masked,
    make_masks_binary,
    masked_sparsity,
    stateless_apply_masks,
    walk_layers,
)
from keras_prune.masking.movement import add_movement, seen_movement, stateless_add_movement
from keras_prune.masking.training_data import TrainingData
from keras_prune.masking.wrapper import (
    ATTRIBUTE,
    CLUSTERS,
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

    def train_step(self, *args: Any) -> Any:
        """Run the training step of the model, then `weight * mask`, and the means of clusters."""
        backend = keras.backend.backend()
        weights = find_masked(self)
        with seen_movement(self, weights) as moved, self._masked_writes(weights) as written:
            result = super().train_step(*args)  # type: ignore[misc]  # the class it is mixed into has it
        if backend == "jax":
            logs, (trainable, non_trainable, *others) = result
            non_trainable = stateless_add_movement(self, moved, non_trainable)
            # The masks are read from the state that the step is given: read as variables they would be constants
            # of the compiled step, and never change.
            return logs, (stateless_apply_masks(self, trainable, non_trainable), non_trainable, *others)
        add_movement(moved)
        for masked in weights:
            if masked.shared is not None and masked.weight.trainable:
                value = keras.ops.stop_gradient(masked.weight.value)
                masked.weight.assign(masked.shared.project(value, masked.mask.value))
            elif id(masked.weight) in written:
                continue
            elif backend == "torch":
                masked.weight.value.data.mul_(masked.mask.value)
            else:
                masked.weight.assign(masked.weight.value * masked.mask.value)
        return result

    def make_train_function(self, force: bool = False) -> Any:
        """Compile the training step, as in Keras: it multiplies by masks, which must be 0 or 1."""
        if self.train_function is None or force:
            make_masks_binary(find_masked(self))
        return super().make_train_function(force)  # type: ignore[misc]

    def _masked_writes(self, weights: list[MaskedWeight]) -> AbstractContextManager[set[int]]:
        own_step = self._plain_class.train_step is not keras.Model.train_step  # type: ignore[attr-defined]
        if keras.backend.backend() != "tensorflow" or own_step:
            return nullcontext(set())
        pairs = [(masked.weight, masked.mask) for masked in weights if masked.shared is None]
        return _keras.masked_writes(self, pairs)

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

    def get_config(self) -> dict[str, Any]:
        plain = _serialize_plain(self)
        plain.pop("compile_config", None)  # Keras saves it with the pruned model
        layers = enumerate(layer for _, layer in walk_layers(self))
        return {"model": plain, "attached": [_attached(place, each) for place, each in layers if _is_attached(each)]}

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train the model, as in Keras. Callbacks whose importance is measured on data find the training data here."""
        fit = super().fit  # type: ignore[misc]
        given = inspect.signature(fit).bind(*args, **kwargs).arguments  # its class may have one with other arguments
        given |= given.pop("kwargs", {})
        found = given.get("x"), given.get("y"), given.get("sample_weight"), given.get("validation_split", 0.0)
        data = TrainingData(*found) if "x" in given else None
        object.__setattr__(self, "_training_data", data)  # not an attribute that Keras tracks
        _build_optimizer(self)
        make_masks_binary(find_masked(self))
        try:
            with _keras.ends_in_background(given.get("callbacks")):
                history = fit(*args, **kwargs)
        finally:
            object.__delattr__(self, "_training_data")
        apply_masks(self)  # the optimizer wrote its moving averages into the weights after the last epoch
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
    members = {"_plain_class": plain, "__doc__": plain.__doc__, "__module__": plain.__module__}
    cls = _register(type(plain.__name__, (PrunedModel, plain), members))
    _register(PrunedModel)  # files name "PrunedModel": loading starts there, not at the class made last
    _PRUNED_CLASSES[plain] = cls
    return cls


def _set_class(model: keras.Model, cls: type) -> None:
    object.__setattr__(model, "__class__", cls)
    model.train_function = None  # compiled with the other class's step


def _serialize_plain(model: keras.Model) -> dict[str, Any]:
    pruned = type(model)
    object.__setattr__(model, "__class__", pruned._plain_class)
    try:
        return keras.saving.serialize_keras_object(model)
    finally:
        object.__setattr__(model, "__class__", pruned)


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
