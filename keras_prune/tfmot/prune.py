"""`prune_low_magnitude` and `strip_pruning` of tfmot, by the wrappers of `keras_prune`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.graph.copying import LayerCopies, copy_layer, copy_model, copy_state
from keras_prune.graph.same_outputs import check_copy
from keras_prune.masking import wrapping
from keras_prune.masking.holders import graph_layers, new_masks
from keras_prune.masking.masked_weights import inner_layer
from keras_prune.masking.prunable import find_prunable
from keras_prune.masking.pruned_model import PrunedModel, keep_masks
from keras_prune.masking.wrapper import PruningWrapper
from keras_prune.reporting.unmet import say
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
    """Return a copy of a model, layer or list of layers whose weights `UpdatePruningStep` prunes during `fit`.

    The original is left unchanged. Layers without prunable weights are copied as they are; layers that have a schedule
    keep theirs. Before it is built, a Sequential model does not show which layers have any: all are wrapped. As in
    tfmot, `fit` without `UpdatePruningStep` is an error, unless the model is pruned already.

    Args:
        to_prune: A Sequential or Functional model, a layer, built or not, or a list of layers.
        pruning_schedule: When the masks change, and to which sparsity. Defaults to `ConstantSparsity(0.5, 0)`.
        block_size: (height, width) of the blocks of the (inputs, outputs) kernel that are pruned together. Defaults to
            (1, 1).
        block_pooling_type: Magnitude of a block: `"AVG"` or `"MAX"` of those in it. Defaults to `"AVG"`.
        pruning_policy: Which layers of a model are pruned, such as `PruneForLatencyOnXNNPack()`. Defaults to None: all.
        sparsity_m_by_n: (m, n): m zeros in each n weights along the inputs; some GPUs run (2, 4) fast. Defaults to
            None.
        **kwargs: For a single layer: arguments of the wrapper, such as `name`.

    Returns:
        A model that is not compiled, a layer, or a list of layers.

    Raises:
        ValueError: Not such an object, a subclassed model, settings that are not allowed, or a model that the policy
            refuses.

    Example:

    ```python
    schedule = sparsity.PolynomialDecay(0.5, 0.8, begin_step=0, end_step=10)
    pruned = sparsity.prune_low_magnitude(model, pruning_schedule=schedule)
    pruned.compile("adam", "mse")
    pruned.fit(x, y, epochs=5, callbacks=[sparsity.UpdatePruningStep()])
    ```
    """
    settings = check_settings(pruning_schedule, block_size, block_pooling_type, sparsity_m_by_n)
    if pruning_policy is not None and not isinstance(pruning_policy, PruningPolicy):
        raise ValueError(
            "`pruning_policy` must be a policy, such as `PruneForLatencyOnXNNPack()`. "
            f"Received: pruning_policy={pruning_policy!r}"
        )
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
    """Return a model of plain Keras layers with the zeros in its weights. See `keras_prune.strip_pruning`.

    Args:
        model: A model from `prune_low_magnitude`, or with layers from it; built, or an unbuilt Sequential.

    Returns:
        The plain model, not compiled.

    Raises:
        ValueError: Not a model, or a subclassed one that is not built.

    Example:

    ```python
    pruned = sparsity.prune_low_magnitude(model)
    pruned.compile("adam", "mse")
    pruned.fit(x, y, callbacks=[sparsity.UpdatePruningStep()])
    plain = sparsity.strip_pruning(pruned)
    ```
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`strip_pruning` takes a `keras.Model`. Received: model={model!r}")
    return _copy_unbuilt(model, _strip) if _is_unbuilt(model) else wrapping.strip_pruning(model)


def prune_scope() -> Any:
    """Return the scope in which pruned models are loaded from `.h5` files, as in tfmot. `.keras` files need none.

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
    """A class that loads models of a class, pruned or not: `.h5` files give both the same name."""

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


def _is_unbuilt(model: Any) -> bool:
    return isinstance(model, keras.Sequential) and _keras.is_graph(model) and not model.built


def _copy_unbuilt(model: keras.Sequential, change: Callable[[keras.Layer], keras.Layer]) -> keras.Sequential:
    """A Sequential model of the changed layers, which has no graph before it is built."""
    plain = getattr(type(model), "_plain_class", type(model))  # as it is without masks
    copy = plain([change(layer) for layer in model.layers], name=model.name)
    if not model.trainable:
        copy.trainable = False
    return copy


def _strip(layer: keras.Layer) -> keras.Layer:
    return strip_pruning(layer) if _keras.is_graph(layer) else wrapping.strip_pruning(layer)


def _wrap_model(model: keras.Model, settings: dict[str, Any], policy: PruningPolicy | None) -> keras.Model:
    def settings_of(layer: keras.Layer) -> dict[str, Any] | None:
        return settings if policy is None or policy.allow_pruning(inner_layer(layer)) else None

    def wrap(layer: keras.Layer) -> keras.Layer:
        if _keras.is_graph(layer):
            return _wrap_model(layer, settings, policy)
        return copy_layer(layer) if settings_of(layer) is None else _wrap_layer(layer, settings, {})

    if _is_unbuilt(model):
        return keep_masks(_copy_unbuilt(model, wrap))
    wrapped = wrap_layers(model, settings_of)
    groups = group_weights(wrapped)  # a pattern that does not fit is found now, not when training starts
    if not groups:
        allowed = "" if policy is None else f", with pruning_policy={type(policy).__name__}"
        say(
            f"No layer of '{model.name}' will be pruned: none that may be has weights that can be pruned. "
            "`keras_prune.summary(model)` says why, for each layer. "
            f"Received: the model '{model.name}'{allowed}"
        )
    return wrapped


def wrap_layers(model: keras.Model, settings_of: SettingsOf) -> keras.Model:
    """Copies a model with `PruneLowMagnitude(copy, **settings_of(layer))` for each layer that can be pruned.

    Layers for which `settings_of` returns None are not wrapped; those that have a schedule keep theirs.
    """
    pairs: list[tuple[keras.Layer, keras.Layer]] = []
    layers = graph_layers(model)
    settings = {id(layer): settings_of(layer) for _, layer in layers if find_prunable(inner_layer(layer)).weights}
    new = new_masks(layers, lambda path, layer: settings.get(id(layer)) is not None)

    def wrap(path: str, layer: keras.Layer, copies: LayerCopies) -> keras.Layer:
        copy = copies.copy(path, inner_layer(layer))
        own = settings.get(id(layer))
        if isinstance(layer, PruneLowMagnitude):
            outer = layer.around(copy)
        elif own is not None and isinstance(layer, PruningWrapper):
            outer = PruneLowMagnitude(copy, weights=layer.weights_at, **own)
        elif own is not None and id(layer) in new:
            outer = PruneLowMagnitude(copy, weights=new[id(layer)], **own)
        else:
            outer = layer.around(copy) if isinstance(layer, PruningWrapper) else copy
        # The masks of a wrapped layer are copied too; those of one newly wrapped prune nothing.
        pairs.append((layer, outer) if isinstance(layer, PruningWrapper) else (layer, inner_layer(outer)))
        return outer

    wrapped = copy_model(model, wrap)
    for layer, copy in pairs:
        copy_state(layer, copy)
        check_copy(inner_layer(layer), inner_layer(copy), layer)
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
        if not outer.built:
            outer.build_from_config(layer.get_build_config())
        copy_state(layer, outer if isinstance(layer, PruningWrapper) else copy)
    return outer
