"""Copies of models for measurements: they always run as in inference, and their loss is that of the data alone."""

from typing import Any

import keras

from keras_prune import _keras
from keras_prune._keras.multi_worker import refuse_scope
from keras_prune.graph.duplicate import duplicate
from keras_prune.graph.stateful import forget_states
from keras_prune.masking.wrapping import add_masks


class AtInference(keras.Model):
    """A Functional model without dropout, and with the moving statistics of BatchNormalization, even in training."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(inputs, training=False, mask=mask)


class _SubclassedAtInference(keras.Model):
    """The same for a model without a graph."""

    def __init__(self, model: keras.Model):
        super().__init__(name=model.name)
        self.model = model

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.model(inputs, training=False)


def copy_to_measure(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Copies a model with masks, which is not changed.

    Returns:
        The copy, with the layers and masks of the model, and a model of the same variables that always runs as in
        inference.

    Raises:
        ValueError: A subclassed model that Keras cannot create from its configuration, or the scope of a strategy
            of several workers.
    """
    graph = _keras.is_graph(model)
    copy = add_masks(model, layers=lambda layer: False) if graph else _copy_subclassed(model)
    refuse_scope(copy)
    train_all(copy)
    forget_regularization(copy)
    forget_states(copy)
    if not graph:
        return copy, _SubclassedAtInference(copy)
    running = AtInference(*_keras.graph_structures(copy), name=model.name)
    running.output_names = getattr(model, "output_names", running.output_names)  # by which losses are assigned
    return copy, running


def _copy_subclassed(model: keras.Model) -> keras.Model:
    try:
        return duplicate(model)
    except ValueError:  # something in it cannot be copied as it is
        pass
    try:
        config = keras.saving.serialize_keras_object(model)
        config.pop("compile_config", None)
        copy = keras.saving.deserialize_keras_object(config, safe_mode=False)  # of a model that is already here
        copy.set_weights(model.get_weights())
    except Exception as error:  # whatever its class raises
        raise ValueError(
            "To measure on data, the model is copied: the class of a subclassed model must implement `get_config` and "
            f"be registered (`keras.saving.register_keras_serializable`). Received: {type(model).__name__} ({error})"
        ) from error
    return copy


def train_all(model: keras.Model) -> None:
    """Makes every layer trainable, in place. (Of a Sequential Keras 3.15 sets only its own.)"""
    for layer in _keras.flatten(model):
        layer.trainable = True


def forget_regularization(model: keras.Model) -> None:
    """Removes the penalties of weights and activations from the loss of a model, and the constraints of its weights,
    which a step would apply though it changes nothing, in place."""
    for layer in _keras.flatten(model):
        layer.activity_regularizer = None
    for variable in model.variables:
        variable.regularizer = None
        variable.constraint = None
