"""Operations that only move data: the labels go through the same NumPy function."""

from typing import Any

import numpy as np
from keras import layers

from keras_prune.tracing.labels import FIXED, Planes, as_planes, has_channels
from keras_prune.tracing.rule_context import Kept, RuleContext, Unsupported
from keras_prune.tracing.rules.axes import along, axes_of
from keras_prune.tracing.rules.convolution import channel_axis
from keras_prune.tracing.rules.registry import register_operation, register_rule


@register_rule(layers.Flatten)
def flatten(call: RuleContext) -> np.ndarray | Planes:
    first = call.operation.data_format == "channels_first" and call.inputs[0].ndim > 1
    return call.move(call.inputs[0], lambda each: _reshape(call, np.moveaxis(each, 1, -1) if first else each))


@register_rule(layers.Reshape)
def reshape_layer(call: RuleContext) -> np.ndarray | Planes:
    labels = call.move(call.inputs[0], lambda each: _reshape(call, each))
    _rewrite_shape(call, "target_shape", call.operation.target_shape, labels, skip=1)
    return labels


@register_operation("numpy.Reshape")
def reshape(call: RuleContext) -> np.ndarray | Planes:
    labels = call.move(call.inputs[0], lambda each: _reshape(call, each))
    target = call.operation.newshape
    _rewrite_shape(call, "newshape", (target,) if isinstance(target, int) else target, labels, skip=0)
    return labels


@register_rule(layers.Permute)
def permute(call: RuleContext) -> np.ndarray | Planes:
    return call.move(call.inputs[0], lambda each: np.transpose(each, (0, *call.operation.dims)))


@register_operation("numpy.Transpose")
def transpose(call: RuleContext) -> np.ndarray | Planes:
    return call.move(call.inputs[0], lambda each: np.transpose(each, call.operation.axes))


@register_operation("numpy.Swapaxes")
def swapaxes(call: RuleContext) -> np.ndarray | Planes:
    return call.move(call.inputs[0], lambda each: np.swapaxes(each, call.operation.axis1, call.operation.axis2))


@register_operation("numpy.Moveaxis")
def moveaxis(call: RuleContext) -> np.ndarray | Planes:
    return call.move(call.inputs[0], lambda each: np.moveaxis(each, call.operation.source, call.operation.destination))


@register_operation("numpy.ExpandDims")
def expand_dims(call: RuleContext) -> np.ndarray | Planes:
    return call.move(call.inputs[0], lambda each: np.expand_dims(each, call.operation.axis))


@register_operation("numpy.Squeeze")
def squeeze(call: RuleContext) -> np.ndarray | Planes:
    axis = call.operation.axis
    if axis is None:  # not those that are 1 because their size is unknown
        axis = tuple(index for index, size in enumerate(call.input_shapes[0]) if size == 1)
    return call.move(call.inputs[0], lambda each: np.squeeze(each, tuple(axis) if isinstance(axis, list) else axis))


@register_operation("numpy.Flip", "numpy.Fliplr", "numpy.Flipud")
def flip(call: RuleContext) -> np.ndarray | Planes:
    axis = {"Fliplr": 1, "Flipud": 0}.get(type(call.operation).__name__, getattr(call.operation, "axis", None))
    return call.move(call.inputs[0], lambda each: np.flip(each, axis))


@register_operation("numpy.Rot90")
def rotate(call: RuleContext) -> np.ndarray:
    return along(call, list(call.operation.axes))


@register_operation("numpy.Roll")
def roll(call: RuleContext) -> np.ndarray:
    """Rolled channels: as many as are left of those that come round."""
    shift, axis = call.operation.shift, call.operation.axis
    place, channels = call.channels(call.inputs[0])
    if place is None or place not in axes_of(axis, call.inputs[0].ndim):
        return along(call, axis)
    if not isinstance(axis, int) or not isinstance(shift, int):
        raise Unsupported("it rolls several axes, that of the channels among them")
    first = len(channels) - shift % len(channels)
    call.change("shift", lambda kept: kept.count(channels[first:]))
    return call.spread(np.roll(channels, shift), axis)


@register_operation("numpy.Tile")
def tile(call: RuleContext) -> np.ndarray | Planes:
    repeats = call.operation.repeats
    repeats = [repeats] if isinstance(repeats, int) else list(repeats)
    rank, found = call.inputs[0].ndim, {}
    for axis, channels in call.along_axes(call.inputs[0]).items():
        place = axis - rank  # counted from the end, where both begin
        found[place + call.fixed().ndim] = np.tile(channels, repeats[place] if -place <= len(repeats) else 1)
    return call.lay(found)


@register_operation("numpy.Repeat")
def repeat(call: RuleContext) -> np.ndarray | Planes:
    repeats, axis = np.ravel(call.operation.repeats), call.operation.axis
    found = call.along_axes(call.inputs[0])
    if axis is None and found:
        raise Unsupported("it makes a vector of all entries")
    for place in found:
        if place == axis % call.inputs[0].ndim:
            if len(repeats) > 1:
                raise Unsupported("it repeats each channel another number of times")
            found[place] = np.repeat(found[place], repeats[0])
    return call.lay(found)


@register_operation("numpy.Pad")
def pad(call: RuleContext) -> np.ndarray:
    """Entries that are added are none of the channels, and are kept."""
    widths, mode = call.operation.pad_width, call.operation.mode
    axis, channels = call.channels(call.inputs[0])
    if axis is None:
        return call.fixed()
    before, after = widths[axis] if len(widths) > 1 else widths[0]
    if before + after and mode != "constant":
        raise Unsupported(f"it pads the channels in mode '{mode}'")
    return call.spread(np.pad(channels, (before, after), constant_values=FIXED), axis)


@register_operation("numpy.BroadcastTo")
def broadcast_to(call: RuleContext) -> np.ndarray | Planes:
    shape = tuple(call.operation.shape)
    added = len(shape) - call.inputs[0].ndim
    found = {axis + added: channels for axis, channels in call.along_axes(call.inputs[0]).items()}
    if found:
        call.change(
            "shape",
            lambda kept: tuple(kept.count(found[axis]) if axis in found else size for axis, size in enumerate(shape)),
        )
    return call.lay(found)


@register_operation("nn.DepthToSpace")
def depth_to_space(call: RuleContext) -> np.ndarray:
    """Each channel of the larger image takes as many of the smaller one as a block has pixels."""
    axis = channel_axis(call.operation)
    channels = call.vector(call.inputs[0], axis).reshape(call.operation.block_size**2, -1)
    if axis == 1:  # the pixels of a channel follow each other
        channels = channels.reshape(channels.shape[1], -1).T
    call.unite(channels, channels[:1])
    return call.spread(channels[0], axis)


@register_operation("nn.SpaceToDepth")
def space_to_depth(call: RuleContext) -> np.ndarray:
    axis = channel_axis(call.operation)
    channels, block = call.vector(call.inputs[0], axis), call.operation.block_size**2
    return call.spread(np.repeat(channels, block) if axis == 1 else np.tile(channels, block), axis)


@register_operation("numpy.Tril", "numpy.Triu")
def triangle(call: RuleContext) -> np.ndarray:
    """What is set to zero depends on the position along the last two axes."""
    return along(call, [-1, -2])


def _reshape(call: RuleContext, inputs: np.ndarray) -> np.ndarray:
    unknown = [axis for axis, size in enumerate(call.input_shapes[0]) if size is None]
    if len(unknown) > 1 and has_channels(inputs):
        channels = call.varying(inputs)
        if channels and channels[-1] < max(unknown):
            raise Unsupported("sizes are involved that are unknown before the model runs")
    shape = call.fixed().shape
    return np.reshape(inputs, shape) if inputs.size == np.prod(shape) else _reshape_end(call, inputs)


def _reshape_end(call: RuleContext, inputs: np.ndarray) -> np.ndarray:
    """An unknown size is merged with known ones, as that of the batch with the windows of an image, or split.

    Where the last axes of both tensors have equally many entries, these keep their order, whatever lies before them.
    """
    read, made = call.input_shapes[0], call.output_shapes[0]
    first = min(call.varying(inputs), default=-1)  # of the axes that must be among the last
    for axis in range(first, -1, -1):
        for place in range(len(made)):
            end, new = read[axis:], made[place:]
            if None not in (*end, *new) and np.prod(end) == np.prod(new):
                return np.broadcast_to(inputs[(0,) * axis].reshape(new), call.fixed().shape)
    if has_channels(inputs):
        raise Unsupported("sizes are involved that are unknown before the model runs")
    return call.fixed()


def _rewrite_shape(call: RuleContext, key: str, target: Any, labels: np.ndarray | Planes, skip: int) -> None:
    """Writes the kept sizes into the target of a reshape, where it names sizes."""
    planes = as_planes(labels)

    def shape(kept: Kept) -> tuple[int, ...]:
        sizes = kept.shape(*planes)[skip:]
        # Only what changed: an unknown size is 1 in the labels.
        before = planes[0].shape[skip:]
        return tuple(
            old if old == -1 or now == was else now for old, now, was in zip(target, sizes, before, strict=True)
        )

    if any(map(has_channels, planes)):
        call.change(key, shape)
