"""`prune_low_magnitude` and `strip_pruning` as tfmot has them, on the wrapping of `keras_prune`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.copying import copy_layer, copy_model, copy_state
from keras_prune.masking import wrapping
from keras_prune.masking.masked_weights import inner_layer
from keras_prune.masking.prunable import find_prunable
from keras_prune.masking.pruned_model import PrunedModel, keep_masks
from keras_prune.masking.wrapper import PruningWrapper
from keras_prune.tfmot.groups import group_weights
from keras_prune.tfmot.policy import PruningPolicy
from keras_prune.tfmot.schedules import PruningSchedule
from keras_prune.tfmot.wrapper import PruneLowMagnitude, check_settings

SettingsOf = Callable[[keras.Layer], dict[str, Any] | None]


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule | None = None,
    block_size: Any = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: Any = None,
    **kwargs: Any,
) -> Any:
    """Returns a copy of a model, layer or list of layers whose weights `UpdatePruningStep` prunes during `fit`.

    What is passed stays as it is. Layers without prunable weights are copied as they are; layers that have a schedule
    keep theirs.

    Args:
        to_prune: A Sequential or Functional model, a layer, built or not, or a list of layers.
        pruning_schedule: When the masks change, and to which sparsity. Default: `ConstantSparsity(0.5, 0)`.
        block_size: (height, width) of the blocks of the (inputs, outputs) kernel that are pruned as one.
        block_pooling_type: `"AVG"` or `"MAX"`: how the magnitudes in a block become that of the block.
        pruning_policy: Says which layers of a model are pruned, such as `PruneForLatencyOnXNNPack()`.
        sparsity_m_by_n: (m, n): m zeros in each n weights along the inputs; (2, 4) is what some GPUs run fast.
        **kwargs: For a single layer: arguments of the wrapper, such as `name`.

    Returns:
        A model that is not compiled, a layer, or a list of layers.

    Raises:
        ValueError: Not such an object, an unbuilt or a subclassed model, settings that are not allowed, or a model
            that the policy refuses.

    Example:

    ```python
    schedule = sparsity.PolynomialDecay(0.5, 0.8, begin_step=0, end_step=10)
    pruned = sparsity.prune_low_magnitude(model, pruning_schedule=schedule)
    pruned.compile("adam", "mse")
    pruned.fit(x, y, epochs=5, callbacks=[sparsity.UpdatePruningStep()])
    ```
    """
    settings = check_settings(pruning_schedule, block_size, block_pooling_type, sparsity_m_by_n)
    if isinstance(to_prune, list) and all(isinstance(layer, keras.Layer) for layer in to_prune):
        return [_wrap_layer(layer, settings, {}) for layer in to_prune]
    if not isinstance(to_prune, keras.Layer):
        raise ValueError(
            "`prune_low_magnitude` takes a Sequential or Functional model, a Keras layer, or a list of layers. "
            f"Received: to_prune={to_prune!r}"
        )
    if not isinstance(to_prune, keras.Model):
        return _wrap_layer(to_prune, settings, kwargs)
    _check_model(to_prune)
    if pruning_policy is not None:
        pruning_policy.ensure_model_supports_pruning(to_prune)
    return _wrap_model(to_prune, settings, pruning_policy)


def strip_pruning(model: keras.Model) -> keras.Model:
    """Returns a model of plain Keras layers with the zeros written in. See `keras_prune.strip_pruning`.

    Args:
        model: A model from `prune_low_magnitude`, or with layers from it.

    Raises:
        ValueError: Not a model, or one that is not built.

    Example:

    ```python
    plain = sparsity.strip_pruning(sparsity.prune_low_magnitude(model))
    ```
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`strip_pruning` takes a `keras.Model`. Received: model={model!r}")
    return wrapping.strip_pruning(model)


def prune_scope() -> Any:
    """The scope in which pruned models are loaded from `.h5` files, as in tfmot. `.keras` files need none.

    Example:

    ```python
    pruned = sparsity.prune_low_magnitude(model)
    pruned.save("pruned.h5")
    with sparsity.prune_scope():
        pruned = keras.saving.load_model("pruned.h5")
    ```
    """
    models = {cls.__name__: _reader(cls) for cls in (keras.Sequential, _keras.FUNCTIONAL)}
    return keras.saving.custom_object_scope({"PruneLowMagnitude": PruneLowMagnitude, **models})


def _reader(plain: type[keras.Model]) -> type:
    """Reads models of a class and pruned ones, which `.h5` files do not tell from each other by name."""

    class Reader:
        @classmethod
        def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> keras.Model:
            pruned = set(config) >= {"model", "attached"}
            return (PrunedModel if pruned else plain).from_config(config, custom_objects)

    return Reader


def _check_model(model: keras.Model) -> None:
    if not _keras.is_graph(model):
        raise ValueError(
            "`prune_low_magnitude` takes Sequential and Functional models. `keras_prune.wrap_pruning` and "
            f"`keras_prune.PruningSchedule` prune subclassed ones. Received: a model of class {type(model).__name__}"
        )
    if not model.built:
        raise ValueError(
            "The model has no weights yet: call it on data, call `build`, or begin it with `keras.Input`. "
            f"Received: the unbuilt model '{model.name}'"
        )


def _wrap_model(model: keras.Model, settings: dict[str, Any], policy: PruningPolicy | None) -> keras.Model:
    def settings_of(layer: keras.Layer) -> dict[str, Any] | None:
        return settings if policy is None or policy.allow_pruning(inner_layer(layer)) else None

    wrapped = wrap_layers(model, settings_of)
    group_weights(wrapped)  # a pattern that does not fit is found now, not when training starts
    return wrapped


def wrap_layers(model: keras.Model, settings_of: SettingsOf) -> keras.Model:
    """Copies a model with `PruneLowMagnitude(copy, **settings_of(layer))` for each layer that can be pruned.

    Layers for which `settings_of` returns None stay as they are; those that have a schedule keep theirs.
    """
    pairs: list[tuple[keras.Layer, keras.Layer]] = []

    def wrap(path: str, layer: keras.Layer) -> keras.Layer:
        copy = copy_layer(inner_layer(layer))
        settings = settings_of(layer) if find_prunable(inner_layer(layer)).weights else None
        if isinstance(layer, PruneLowMagnitude):
            outer = layer.around(copy)
        elif settings is not None:
            outer = PruneLowMagnitude(copy, **settings)
        else:
            outer = layer.around(copy) if isinstance(layer, PruningWrapper) else copy
        # Masks of a layer that had some come along; those of one newly wrapped are open.
        pairs.append((layer, outer) if isinstance(layer, PruningWrapper) else (layer, inner_layer(outer)))
        return outer

    wrapped = copy_model(model, wrap)
    for layer, copy in pairs:
        copy_state(layer, copy)
    return keep_masks(wrapped)


def _wrap_layer(layer: keras.Layer, settings: dict[str, Any], kwargs: dict[str, Any]) -> keras.Layer:
    if isinstance(layer, PruneLowMagnitude | keras.layers.InputLayer):
        return layer
    copy = copy_layer(inner_layer(layer))
    if layer.built and not find_prunable(inner_layer(layer)).weights:
        outer = copy
    else:
        outer = PruneLowMagnitude(copy, **settings, **kwargs)
        _keras.copy_input_shape(layer, outer)
    if layer.built:
        outer.build_from_config(layer.get_build_config())
        copy_state(layer, outer if isinstance(layer, PruningWrapper) else copy)
    return outer
