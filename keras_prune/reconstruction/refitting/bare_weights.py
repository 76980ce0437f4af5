"""Weights that are tensors of the graph, as custom layers that were written out have them: products with them."""

from collections.abc import Sequence
from typing import Any

from keras_prune import _keras
from keras_prune.graph.leaf_layers import Weight
from keras_prune.measurement.flat_copy import Step
from keras_prune.reconstruction.refitting.step_parts import Part
from keras_prune.reconstruction.views.linear_view import LinearView
from keras_prune.reconstruction.views.linear_views import view_of_equation

_MATMUL = tuple(_keras.operation_classes("numpy.Matmul", "numpy.Dot"))
_EINSUM = tuple(_keras.operation_classes("numpy.Einsum"))
_ADD = tuple(_keras.operation_classes("numpy.Add"))


class BareWeights:
    """The products of tensors with bare weights, each of which is used once.

    Args:
        steps: The steps of a flat model.

    Attributes:
        parts: The weights that can be fitted, by the position of the step that their products, with a bias that is
            added to them, come out of.
        left: The positions of the steps of weights that are multiplied in an unknown way.
    """

    def __init__(self, steps: Sequence[Step]):
        self._steps = steps
        self._readers: dict[int, list[int]] = {}
        for index, step in enumerate(steps):
            for _, tensor in step.inputs:
                self._readers.setdefault(id(tensor), []).append(index)
        self._makers = {id(step.outputs[0][1]): step for step in steps if isinstance(step.operation, Weight)}
        self._calls = [id(step.operation) for step in self._makers.values()]
        self.parts: dict[int, Part] = {}
        self.left: list[int] = []
        for index, step in enumerate(steps):
            own = step.operation
            if not isinstance(own, Weight) or own.constant or len(own.shape) < 2:
                continue
            found = self._part(step)
            if found is not None:
                self.parts[found[0]] = found[1]
            elif not all(isinstance(self._steps[each].operation, _ADD) for each in self._readers_of(step)):
                self.left.append(index)

    def _readers_of(self, step: Step) -> list[int]:
        return self._readers.get(id(step.outputs[0][1]), [])

    def _part(self, step: Step) -> tuple[int, Part] | None:
        """Where the products with a weight come out, and the weight there."""
        readers = self._readers_of(step)
        if len(readers) != 1 or self._calls.count(id(step.operation)) > 1:
            return None
        (index,) = readers
        product = self._steps[index]
        if len(product.inputs) != 2 or product.inputs[1][1] is not step.outputs[0][1]:
            return None
        given = product.inputs[0][1]
        if id(given) in self._makers or given.shape[0] is not None:  # the first axis is that of the samples
            return None
        for end, bias in (self._bias(index), (index, None)):  # a bias may be of other axes
            view = _view(product.operation, step.operation, bias)
            if view is not None:
                return end, Part(view, reads=given)
        return None

    def _bias(self, index: int) -> tuple[int, Any]:
        """Where a bias is added to products, and the bias; where they are computed, if there is none."""
        made = self._steps[index].outputs[0][1]
        readers = self._readers.get(id(made), [])
        if len(readers) != 1 or not isinstance(self._steps[readers[0]].operation, _ADD):
            return index, None
        others = [tensor for _, tensor in self._steps[readers[0]].inputs if tensor is not made]
        maker = self._makers.get(id(others[0])) if len(others) == 1 else None
        if maker is None or maker.operation.constant or self._calls.count(id(maker.operation)) > 1:
            return index, None
        alone = len(self._readers_of(maker)) == 1 and others[0].shape[-1] == made.shape[-1]
        plain = alone and all(size == 1 for size in others[0].shape[:-1])
        return (readers[0], maker.operation.value) if plain else (index, None)


def _view(operation: Any, weight: Any, bias: Any) -> LinearView | None:
    """The weight as a linear map, if the operation is a product of matrices whose samples are the first axis."""
    if isinstance(operation, _MATMUL):
        return LinearView(weight, "value", bias) if len(weight.shape) == 2 else None
    equation = getattr(operation, "subscripts", "") if isinstance(operation, _EINSUM) else ""
    if equation.count(",") != 1 or "->" not in equation:
        return None
    given, kernel = equation.replace(" ", "").split("->")[0].split(",")
    if not given[0].isalpha() or given[0] in kernel:
        return None
    return view_of_equation(weight, equation, "value", bias, None if bias is None else equation.strip()[-1])
