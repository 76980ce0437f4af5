"""The layers that written-out models need beside Keras's own: a weight or constant as a tensor, rows of a batch."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_prune")
class Weight(keras.Layer):
    """A weight, or a constant, as a tensor of a graph. It has no axis of samples.

    A custom layer multiplies or adds weights of its own in its code. Written out as a graph, each is the output of
    such a layer.

    Args:
        shape: Shape of the weight.
        weight_dtype: Its type. Defaults to `"float32"`.
        constant: Whether it is never trained. Defaults to False.
        regularizer: Its regularizer. Defaults to None: none.
        constraint: Its constraint. Defaults to None: none.
        **kwargs: Of every Keras layer.

    Inputs: any tensor of the graph, whose values are not read.

    Example:

    ```python
    inputs = keras.Input((8, 4))
    table = kp.expansion.Weight((8, 4), name="positions")(inputs)
    model = keras.Model(inputs, inputs + table)
    ```
    """

    def __init__(
        self,
        shape: Sequence[int],
        weight_dtype: str = "float32",
        constant: bool = False,
        regularizer: Any = None,
        constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(int(size) for size in shape)
        self.weight_dtype = weight_dtype
        self.constant = constant
        self.regularizer = keras.regularizers.get(regularizer)
        self.constraint = keras.constraints.get(constraint)

    def build(self, input_shape: Any) -> None:
        """Makes the weight."""
        self.value = self.add_weight(
            shape=self.shape,
            dtype=self.weight_dtype,
            initializer="glorot_uniform" if len(self.shape) > 1 and not self.constant else "zeros",
            trainable=not self.constant,
            regularizer=self.regularizer,
            constraint=self.constraint,
            name="value",
        )

    def call(self, reference: Any) -> Any:
        """Return the weight."""
        value = ops.convert_to_tensor(self.value)
        return value if value.dtype == self._output_dtype() else ops.cast(value, self._output_dtype())

    def compute_output_spec(self, reference: Any) -> Any:
        """Return the symbolic weight."""
        return keras.KerasTensor(self.shape, dtype=self._output_dtype())

    def get_config(self) -> dict[str, Any]:
        """Return what makes an equal layer."""
        own = {
            "shape": list(self.shape),
            "weight_dtype": self.weight_dtype,
            "constant": self.constant,
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "constraint": keras.constraints.serialize(self.constraint),
        }
        return {**super().get_config(), **own}

    def _output_dtype(self) -> str:
        return self.compute_dtype if keras.backend.is_float_dtype(self.weight_dtype) else self.weight_dtype


@keras.saving.register_keras_serializable("keras_prune")
class RepeatForBatch(keras.Layer):
    """A tensor whose first axis, of size 1, is repeated for each sample of another one.

    Its arguments are those of every Keras layer.

    Inputs: the tensor, and one whose first axis is that of the samples.
    """

    def call(self, tensor: Any, reference: Any) -> Any:
        """Return the rows."""
        return ops.broadcast_to(tensor, (ops.shape(reference)[0], *tensor.shape[1:]))

    def compute_output_spec(self, tensor: Any, reference: Any) -> Any:
        """Return the symbolic rows."""
        return keras.KerasTensor((reference.shape[0], *tensor.shape[1:]), dtype=tensor.dtype)


@keras.saving.register_keras_serializable("keras_prune")
class AddLoss(keras.Layer):
    """A tensor as it is, while another one is added to the losses of the model.

    Args:
        only_training: Whether it is added in training only. Defaults to False.
        **kwargs: Of every Keras layer.

    Inputs: the tensor, and the loss.
    """

    def __init__(self, only_training: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.only_training = only_training

    def call(self, tensor: Any, loss: Any, training: bool | None = None) -> Any:
        """Add the loss, and return the tensor."""
        if training or not self.only_training:
            self.add_loss(loss)
        return tensor

    def compute_output_spec(self, tensor: Any, loss: Any, training: bool | None = None) -> Any:
        """Return the symbolic tensor."""
        return keras.KerasTensor(tensor.shape, dtype=tensor.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what makes an equal layer."""
        return {**super().get_config(), "only_training": self.only_training}


@keras.saving.register_keras_serializable("keras_prune")
class InferenceBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization with its moving statistics in training too; `gamma` and `beta` may be trained.

    A custom layer that calls its normalization with `training=False` does so in training as well. In a graph, Keras
    passes on the argument of the model instead.

    Its arguments are those of `keras.layers.BatchNormalization`.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalized inputs."""
        return super().call(inputs, training=False, mask=mask)


def weight_of(variable: keras.Variable, name: str, compute_dtype: str) -> Weight:
    """Return a layer that holds this variable."""
    layer = Weight(
        tuple(variable.shape),
        variable.dtype,
        not variable.trainable,
        variable.regularizer,
        variable.constraint,
        name=name,
        dtype=_policy(variable, compute_dtype),
    )
    with keras.StatelessScope():  # no initialiser draws what is replaced at once
        layer.build(None)
    return layer


def _policy(variable: keras.Variable, compute_dtype: str) -> Any:
    return compute_dtype if keras.backend.is_float_dtype(variable.dtype) else None


def constant_of(values: np.ndarray, name: str, dtype: str) -> Weight:
    """Return a layer that holds these values."""
    layer = Weight(values.shape, dtype, True, name=name, dtype=dtype if keras.backend.is_float_dtype(dtype) else None)
    layer.build(None)
    layer.value.assign(values)
    return layer
