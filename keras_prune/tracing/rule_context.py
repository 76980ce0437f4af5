"""`RuleContext`: what a rule sees of one use of one operation, and the calls by which it says what it found."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.tracing.binding import Binding, Role
from keras_prune.tracing.constants import Path
from keras_prune.tracing.findings import Found, Value
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.labels import Labels, Planes, as_one, fixed, has_channels, spread
from keras_prune.tracing.products import Axis, Work
from keras_prune.tracing.weight_axes import WeightAxis


class Unsupported(Exception):
    """Exception that a rule raises, with the reason, for settings it does not know: the channels there are kept."""


class RuleContext:
    """One use of one operation in a model: what a rule is called with.

    Attributes:
        operation: The layer, or the `keras.ops` operation.
        name: Its path in the model.
        inputs: The labels of each input tensor.
        args: The arguments of the call, with labels in place of tensors.
        kwargs: Likewise.
        input_shapes: The shape of each input tensor, None where unknown.
        output_shapes: The shape of each output tensor.
        found: What was found so far; other methods write to it.
        times: How often the operation runs for one sample: more than once inside `TimeDistributed`; None: unknown.
        is_weight: Whether its outputs are weights, or made of weights alone.
    """

    def __init__(
        self,
        found: Found,
        operation: Any,
        name: str,
        arguments: tuple[Any, Any],
        shapes: tuple[Any, Any],
        times: int | None = 1,
    ):
        self.operation = operation
        self.name = name
        self.args, self.kwargs = arguments
        self.input_shapes, self.output_shapes = shapes
        self.inputs = [leaf for leaf in keras.tree.flatten(arguments) if isinstance(leaf, Labels)]
        self.found = found
        self.times = times
        self.is_weight = bool(self.inputs) and all(given.of_weights for given in self.inputs)
        self._followed: set[int] = set()  # the inputs whose further planes the rule asked for
        found.uses.setdefault(id(operation), []).append(self)

    @property
    def kind(self) -> str:
        """The operation's name and class, for messages."""
        return f"{type(self.operation).__name__} '{self.name}'"

    def mint(self, key: str, count: int) -> np.ndarray:
        """Return new channels that this layer makes: the same ones each time the layer is used.

        Args:
            key: Tells them from others that the layer makes.
            count: Their number.
        """
        where = id(self.operation), key
        if where not in self.found.minted:
            self.name_channels(key, self.found.atoms.mint(count))
        return self.found.minted[where][1]

    def name_channels(self, key: str, labels: np.ndarray) -> None:
        """Note that this layer makes these channels. `key` tells them from others that it makes."""
        self.found.minted[id(self.operation), key] = self.name, labels

    def weight(self, variable: keras.Variable) -> np.ndarray | Planes:
        """Return the labels of an output that is a weight of the layer: its axes have channels of their own.

        What these do is seen where the output is used: none of them need be bound. The layer's configuration must
        follow the channels, as `call.change("shape", lambda kept: kept.shape(*as_planes(labels)))` says.
        """
        self.is_weight = True
        for reference in self.inputs:  # whose values are not read
            self.planes(reference)
        channels = {}
        for axis, size in enumerate(variable.shape):
            where = id(variable), axis
            if size > 1 and where not in self.found.weight_axes:
                minted = self.found.atoms.mint(size)
                self.found.weight_axes[where] = WeightAxis(self, variable, axis, minted)
            if size > 1:
                channels[axis] = self.found.weight_axes[where].labels
        return self.lay(channels)

    def constant_channels(self, path: Path, axis: int, count: int) -> np.ndarray:
        """Return the channels along an axis of a constant: none by themselves, but they may meet others later.

        Args:
            path: Where it is in the call; see `find_constants`.
            axis: The axis.
            count: How many entries it has.
        """
        where = id(self.operation), path, axis
        if where not in self.found.of_constants:
            self.found.of_constants[where] = self.found.atoms.mint(count)
        return self.found.of_constants[where]

    def use(self, labels: np.ndarray, role: Role) -> None:
        """Declare what channels along an axis of a weight that is a tensor do here. Of other channels it says nothing.

        Args:
            labels: The channels.
            role: `"out"`, `"in"` or `"through"`; see `Binding`.
        """
        for axis in self.found.weight_axes.values():
            if axis.has(labels):
                axis.roles.append(role)

    def bind(
        self,
        weight: keras.Variable | None,
        axis: int,
        labels: np.ndarray,
        role: Role,
        *,
        mutes: bool | None = None,
        rescale: Callable[[Kept], float] | None = None,
    ) -> None:
        """Bind an axis of a weight to channels: say which channel each position along it belongs to.

        Args:
            weight: A variable of the layer; None, for one that the layer does not have, is ignored.
            axis: The axis.
            labels: Their channels: a vector.
            role: `"out"`, `"in"` or `"through"`; see `Binding`.
            mutes: Whether, with zeros here, the channel has no effect. Defaults to None: where the role is `"in"`.
            rescale: What the kept weights are multiplied by, a function of `Kept`. Defaults to None: nothing.

        Raises:
            Unsupported: The layer computes this weight from others (LoRA, quantisation), or the sizes differ.
        """
        if weight is None:
            return
        if not any(weight is variable for variable in self.operation.variables):
            raise Unsupported("its weights are quantised or computed (LoRA), not plain variables")
        shape = tuple(weight.shape)
        axis %= len(shape)
        if labels.shape != (shape[axis],):
            raise Unsupported(f"axis {axis} of its weight '{weight.name}' has not one position for each channel")
        bound = self.found.bindings.get((id(weight), axis))
        self.found.binders.setdefault((id(weight), axis), set()).add(self.name.split(":")[0])
        if bound is not None:  # a layer that is used again, or another that holds the weight too
            self.unite(bound.labels, labels)
            if bound.role != role:  # zeros in a weight that is shared would reach further than the channel
                self.found.bindings[id(weight), axis] = dataclasses.replace(bound, mutes=False)
                self.read()
            return
        name = weight.path.rsplit("/", 1)[-1]
        if weight.path.startswith(f"{self.operation.path}/"):  # a sublayer's: "query/kernel"
            name = weight.path.removeprefix(f"{self.operation.path}/")
        layer, kind = self.name.split(":")[0], type(self.operation).__name__
        self.found.bindings[id(weight), axis] = Binding(
            layer, kind, name, weight, axis, labels, role, role == "in" if mutes is None else mutes, rescale
        )

    def read(self) -> None:
        """Declare that the operation reads channels without a weight, as a sum over channels or a product of two does.

        A channel that is zero in all its inputs has no effect on what it returns.
        """
        self.found.readers.add(id(self.operation))

    def multiply(self, weight: keras.Variable, positions: int | None, *axes: Axis) -> None:
        """Declare that each entry of a weight is multiplied this often for one sample. MACs are counted from it.

        Args:
            weight: The variable.
            positions: How often: for a convolution the size of the image that it makes; None if it is unknown.
            *axes: Further sizes, or channels along an axis, that multiply the number.
        """
        self._add_work(positions, weight, axes)

    def contract(self, positions: int | None, *axes: Axis) -> None:
        """Declare that activations are multiplied with each other, as attention scores are.

        Args:
            positions: The product of all sizes that do not change; None if it is unknown.
            *axes: The other axes of the product: the channels along each.
        """
        self._add_work(positions, None, axes)

    def _add_work(self, positions: int | None, weight: keras.Variable | None, axes: tuple[Axis, ...]) -> None:
        known = None if positions is None or self.times is None else positions * self.times
        self.found.work.append(Work(self.name.split(":")[0], known, weight, axes))

    def resize(self, key: str, labels: np.ndarray) -> None:
        """Declare that this argument of the operation's configuration is the number of these channels."""
        self.found.changes.setdefault(id(self.operation), {})[key] = lambda kept: kept.count(labels)

    def change(self, key: str, value: Value) -> None:
        """Declare that this argument of the operation's configuration is computed from the kept channels.

        An operation that is used twice has one configuration: the channels that reach it are removed together.

        Args:
            key: Name of the argument in the configuration.
            value: A function of `Kept`.
        """
        self.found.one_size.add(id(self.operation))
        self.found.changes.setdefault(id(self.operation), {})[key] = value

    def rewrite(self, position: int, name: str, value: Value) -> None:
        """Declare that this argument of the operation's call, which is no tensor, is computed from the kept channels.

        Args:
            position: Its position among the arguments.
            name: Its name, for calls that pass it by name.
            value: A function of `Kept`.
        """
        self.found.one_size.add(id(self.operation))
        self.found.arguments.setdefault(id(self.operation), {})[position, name] = value

    def cut(self, path: Path, *planes: np.ndarray) -> None:
        """Declare that an array among the arguments of the operation's call is cut where channels are removed.

        Args:
            path: Where it is in the call; see `find_constants`.
            *planes: The labels of a tensor that it is broadcast to.
        """
        if any(has_channels(labels) for labels in planes):
            self.found.one_size.add(id(self.operation))
            self.found.constants.setdefault(id(self.operation), {})[path] = planes

    def shape_of(self, labels: np.ndarray) -> tuple[int | None, ...]:
        """Return the shape of the input tensor with these labels, None where unknown."""
        return next(shape for given, shape in zip(self.inputs, self.input_shapes, strict=True) if given is labels)

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument of the call, however it was passed."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def unite(self, first: np.ndarray, second: np.ndarray) -> None:
        """Unite the channels at the same places of two arrays: they are removed together."""
        self.found.atoms.unite(first, second, f"{self.kind} joins it with entries that must stay")

    def freeze(self, labels: np.ndarray, reason: str) -> None:
        """Keep these channels: they cannot be removed."""
        self.found.atoms.freeze(labels, reason)

    def mark_inexact(self, labels: np.ndarray, reason: str) -> None:
        """Note that removing these channels changes the values of those that are kept."""
        self.found.atoms.mark_inexact(labels, f"{self.kind}: {reason}")

    def varying(self, labels: np.ndarray) -> tuple[int, ...]:
        """Return the axes of a tensor along which its channels lie."""
        return self.found.atoms.varying(labels)

    def channels(self, labels: np.ndarray) -> tuple[int | None, np.ndarray]:
        """Return the axis of a tensor along which its channels lie, and the channels; None if there are no two.

        Of several axes it is the last, as in the end it will be: see `Atoms.make_rectangular`. The only channel of a
        tensor is kept, since the tensor must be.
        """
        varying = self.varying(labels)
        if varying:
            return varying[-1], self.vector(labels, varying[-1])
        self.freeze(labels, f"{self.kind} reads a tensor of a single channel")
        return None, np.empty(0, np.int64)

    def vector(self, labels: np.ndarray, axis: int = -1) -> np.ndarray:
        """Return the channels along an axis of a tensor; all other positions are treated alike."""
        return self.found.atoms.vector(np.asarray(labels), axis, f"{self.kind} joins it with entries that must stay")

    def planes(self, labels: np.ndarray) -> list[np.ndarray]:
        """Return all label arrays of an input, one for each axis along which its channels lie.

        Those after the first are kept unless the rule asks for them, here or by `along_axes` or `move`.
        """
        self._followed.add(id(labels))
        return [np.asarray(labels), *getattr(labels, "further", ())]

    def along_axes(self, labels: np.ndarray) -> dict[int, np.ndarray]:
        """Return the channels along each axis of an input; what `channels` says of one axis holds of each."""
        return self.vectors(self.planes(labels))

    def along(self, labels: np.ndarray, axis: int) -> dict[int, np.ndarray]:
        """Return the channels along each axis of an input; those of a plane without two channels lie along `axis`."""
        found: dict[int, np.ndarray] = {}
        for plane in self.planes(labels):
            place = (*self.varying(plane)[-1:], axis)[0]
            if place in found:
                self.freeze(plane, f"{self.kind} reads two kinds of channels along one axis")
            else:
                found[place] = self.vector(plane, place)
        return found

    def vectors(self, planes: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
        """Return the channels along each axis of a tensor with these planes."""
        axis, channels = self.channels(planes[0])
        found = {} if axis is None else {axis: channels}
        for plane in planes[1:]:
            for axis in self.varying(plane)[-1:]:
                if axis in found:
                    self.freeze(plane, f"{self.kind} reads two kinds of channels along one axis")
                else:
                    found[axis] = self.vector(plane, axis)
        return found

    def move(
        self, labels: np.ndarray, function: Callable[[np.ndarray], np.ndarray] = np.asarray
    ) -> np.ndarray | Planes:
        """Return all labels of an input, moved as a function moves the entries. Defaults to not at all."""
        return as_one([function(plane) for plane in self.planes(labels)])

    def lay(self, channels: Mapping[int, np.ndarray], output: int = 0) -> np.ndarray | Planes:
        """Return the labels of an output with these channels, given by axis."""
        arrays = [self.spread(vector, axis, output) for axis, vector in sorted(channels.items(), reverse=True)]
        return as_one(arrays or [self.fixed(output)])

    def only(self, labels: np.ndarray | Planes) -> np.ndarray:
        """Return the first of several planes; the channels of the others are kept."""
        if not isinstance(labels, Planes):
            return labels
        for plane in labels.arrays[1:]:
            self.freeze(plane, f"{self.kind} follows the channels of another axis")
        return labels.arrays[0]

    def not_followed(self) -> list[np.ndarray]:
        """Return the planes of the inputs that the rule did not ask for."""
        return [plane for given in self.inputs if id(given) not in self._followed for plane in given.further]

    def spread(self, vector: np.ndarray, axis: int = -1, output: int = 0) -> np.ndarray:
        """Return the labels of an output whose channels lie along `axis`."""
        return spread(vector, axis, self.output_shapes[output])

    def fixed(self, output: int = 0) -> np.ndarray:
        """Return the labels of an output none of whose channels can be removed."""
        return fixed(self.output_shapes[output])
