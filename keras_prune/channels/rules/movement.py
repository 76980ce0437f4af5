"""Operations that only move data: the labels go through the same NumPy function."""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_prune import keras_internals
from keras_prune.channels.call import Call, Kept, Unsupported, has_channels
from keras_prune.channels.labels import collapse
from keras_prune.channels.rules.registry import register_rule


def operation(*names: str) -> Any:
    return register_rule(*keras_internals.operation_classes(*(f"numpy.{name}" for name in names)))


@register_rule(layers.Flatten)
def flatten(call: Call) -> np.ndarray:
    inputs = call.inputs[0]
    if call.operation.data_format == "channels_first" and inputs.ndim > 1:
        inputs = np.moveaxis(inputs, 1, -1)
    return _reshape(call, inputs)


@register_rule(layers.Reshape)
def reshape_layer(call: Call) -> np.ndarray:
    labels = _reshape(call, call.inputs[0])
    _rewrite_shape(call, "target_shape", call.operation.target_shape, labels, skip=1)
    return labels


@operation("Reshape")
def reshape(call: Call) -> np.ndarray:
    labels = _reshape(call, call.inputs[0])
    target = call.operation.newshape
    _rewrite_shape(call, "newshape", (target,) if isinstance(target, int) else target, labels, skip=0)
    return labels


@register_rule(layers.Permute)
def permute(call: Call) -> np.ndarray:
    return np.transpose(call.inputs[0], (0, *call.operation.dims))


@operation("Transpose")
def transpose(call: Call) -> np.ndarray:
    return np.transpose(call.inputs[0], call.operation.axes)


@operation("Swapaxes")
def swapaxes(call: Call) -> np.ndarray:
    return np.swapaxes(call.inputs[0], call.operation.axis1, call.operation.axis2)


@operation("Moveaxis")
def moveaxis(call: Call) -> np.ndarray:
    return np.moveaxis(call.inputs[0], call.operation.source, call.operation.destination)


@operation("ExpandDims")
def expand_dims(call: Call) -> np.ndarray:
    return np.expand_dims(call.inputs[0], call.operation.axis)


@operation("Squeeze")
def squeeze(call: Call) -> np.ndarray:
    axis = call.operation.axis
    if axis is None:  # not those that are 1 because their size is not known
        axis = tuple(index for index, size in enumerate(call.input_shapes[0]) if size == 1)
    return np.squeeze(call.inputs[0], tuple(axis) if isinstance(axis, list) else axis)


@register_rule(layers.Concatenate)
@operation("Concatenate")
def concatenate(call: Call) -> np.ndarray:
    """Along the axis the labels follow each other; at the other places they belong to one row and stay a rectangle."""
    inputs = call.inputs
    axis = call.operation.axis % inputs[0].ndim
    if len(keras.tree.flatten(call.args[0])) != len(inputs):
        raise Unsupported("it joins tensors with constants")
    if call.output_shapes[0][axis] is None:  # of unknown size, so no axis of channels
        if any(axis in call.varying(given) for given in inputs):
            raise Unsupported("it joins along an axis of unknown size")
        first, *others = [given.take([0], axis) for given in inputs]
        for other in others:
            call.unite(first, other)
        return first
    return np.broadcast_to(np.concatenate(collapse(inputs, keep=axis), axis), call.fixed().shape)


@operation("Split")
def split(call: Call) -> list[np.ndarray]:
    (inputs,), sections = call.inputs, call.operation.indices_or_sections
    axis = call.operation.axis % inputs.ndim
    if call.input_shapes[0][axis] is None:
        raise Unsupported("it splits an axis of unknown size")
    parts = np.split(inputs, sections if isinstance(sections, int) else list(sections), axis)
    if axis in call.varying(inputs):
        vectors = [call.vector(part, axis) for part in parts]

        def indices(kept: Kept) -> list[int]:
            return np.cumsum([kept.count(vector) for vector in vectors])[:-1].tolist()

        call.change("indices_or_sections", indices)
    return parts


@operation("Stack")
def stack(call: Call) -> np.ndarray:
    if len(keras.tree.flatten(call.args[0])) != len(call.inputs):
        raise Unsupported("it joins tensors with constants")
    return np.stack(call.inputs, axis=call.operation.axis)


@operation("GetItem")
def get_item(call: Call) -> np.ndarray:
    """Indexing, as in `x[:, 0]`, along other axes than that of the channels."""
    inputs, key = call.inputs[0], call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    keys = list(key) if isinstance(key, tuple) else [key]
    if not all(each is None or each is Ellipsis or isinstance(each, int | slice) for each in keys):
        raise Unsupported("its index is no plain number or slice")
    missing = inputs.ndim - sum(each is not None and each is not Ellipsis for each in keys)
    where = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    keys[where : where + 1] = [slice(None)] * missing
    varying = call.varying(inputs)
    axis = written = 0
    found = None
    for each in keys:  # the axes of the input, of the output, and the one of the channels
        if axis in varying and each is not None and each != slice(None):
            raise Unsupported("it takes some of the channels")
        if axis in varying and each is not None:
            found = written
        axis += each is not None
        written += not isinstance(each, int)
    if len(varying) > 1:
        raise Unsupported("its channels lie along several axes")
    if found is None:
        return np.broadcast_to(inputs.flat[0], call.fixed().shape)
    return call.spread(call.vector(inputs, varying[0]), found)


@operation("Mean", "Sum", "Max", "Min", "Amax", "Amin", "Prod", "Std", "Var", "Any", "All")
def reduce(call: Call) -> np.ndarray:
    inputs, axis = np.asarray(call.inputs[0]), call.operation.axis
    axes = range(inputs.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    axes = sorted(each % inputs.ndim for each in axes)
    varying = call.varying(inputs)
    if set(axes) & set(varying) and has_channels(inputs):
        raise Unsupported("its result mixes the channels")
    if not varying:
        call.freeze(inputs, f"{call.kind} reduces a single channel")
    for each in axes:
        inputs = inputs.take([0], axis=each)
    return inputs if call.operation.keepdims else np.squeeze(inputs, tuple(axes))


def _reshape(call: Call, inputs: np.ndarray) -> np.ndarray:
    unknown = [axis for axis, size in enumerate(call.input_shapes[0]) if size is None]
    if len(unknown) > 1 and has_channels(inputs):
        channels = call.varying(inputs)
        if channels and channels[-1] < max(unknown):
            raise Unsupported("sizes are involved that are not known before the model runs")
    shape = call.fixed().shape
    try:
        return np.reshape(inputs, shape)
    except ValueError:
        raise Unsupported("sizes are involved that are not known before the model runs") from None


def _rewrite_shape(call: Call, key: str, target: Any, labels: np.ndarray, skip: int) -> None:
    """Writes the sizes that are left into the target of a reshape, where it names sizes."""

    def shape(kept: Kept) -> tuple[int, ...]:
        sizes = kept.shape(labels)[skip:]
        # Only what changed: what is not known here is 1 in the labels.
        before = labels.shape[skip:]
        return tuple(
            old if old == -1 or now == was else now for old, now, was in zip(target, sizes, before, strict=True)
        )

    if has_channels(labels):
        call.change(key, shape)
