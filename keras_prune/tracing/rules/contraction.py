"""Products of activations, summed over an axis: einsum and all that can be written as one.

Channels along an axis that is summed are read: without one, its products are missing in the sum, no more. Channels
along an axis of the result pass through.
"""

import dataclasses
import re
import string
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from keras_prune.tracing.constants import Path, find_constants
from keras_prune.tracing.labels import FIXED, Planes, as_labels, collapse, fixed, has_channels, spread
from keras_prune.tracing.products import entries
from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_operation, register_rule

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Factor:
    """A factor of a product: a tensor, or a constant.

    Args:
        shape: Its shape.
        labels: Those of a tensor; None for a constant.
        path: Where a constant is in the call.
    """

    shape: Shape
    labels: np.ndarray | None = None
    path: Path = ()

    @property
    def of_weights(self) -> bool:
        """Whether it is a weight, or made of weights alone."""
        return getattr(self.labels, "of_weights", False)


@dataclasses.dataclass(frozen=True)
class Operand:
    """A factor, and a letter for each axis."""

    factor: Factor
    letters: str

    def size(self, letter: str) -> int | None:
        return self.factor.shape[self.letters.index(letter)]


def contract(call: RuleContext, operands: Sequence[Operand], written: str) -> np.ndarray | Planes:
    """The labels of a product, whose axes have the letters `written`."""
    _unite_groups(call, operands)
    channels = [_channels(call, operand) for operand in operands]
    _count(call, operands, channels, written)
    call.read()
    found: dict[str, np.ndarray] = {}
    for letter in dict.fromkeys(letter for along in channels for letter in along):
        meeting = [along[letter] for along in channels if letter in along]
        having = [each for each in operands if letter in each.letters and each.size(letter) != 1]
        if len(meeting) != sum(each.factor.labels is not None for each in having):
            for vector in meeting:
                call.freeze(vector, f"{call.kind} multiplies channels by entries that are none")
            continue
        for vector in meeting[1:]:
            call.unite(meeting[0], vector)
        found[letter] = meeting[0]
        readers = [
            along[letter]
            for each, along in zip(operands, channels, strict=True)
            if each.factor.of_weights and letter in along
        ]
        for place, vector in enumerate(readers):
            if letter in written:
                call.use(vector, "through" if len(having) > 1 else "out")
            else:  # of two matrices the first makes what the second reads
                call.use(vector, "out" if place == 0 and 1 < len(readers) == len(having) else "in")
    if not any(channels):
        found |= _of_constants(call, operands, written)
    for operand in operands:
        if operand.factor.labels is None:
            axes = [(axis, letter) for axis, letter in enumerate(operand.letters) if letter in found]
            call.cut(operand.factor.path, *(spread(found[letter], axis, operand.factor.shape) for axis, letter in axes))
    return call.lay({written.index(letter): vector for letter, vector in found.items() if letter in written})


def _unite_groups(call: RuleContext, operands: Sequence[Operand]) -> None:
    """Where the channels of a factor lie along an axis that was split in two, as query heads into those of each key,
    and another factor has channels along the first of these: they are removed together, if they are not fewer.

    Otherwise those at the same place of each part are: see `Atoms.make_rectangular`.
    """
    for operand in operands:
        others = [each for each in operands if each is not operand and each.factor.labels is not None]
        for plane in _planes(call, operand):
            axes = call.varying(plane)
            if len(axes) != 2 or plane.shape[axes[0]] < plane.shape[axes[1]]:
                continue
            first, last = (operand.letters[axis] for axis in axes)
            meeting = [each for each in others if first in each.letters]
            if meeting and all(_lies_along(call, each, first) and last not in each.letters for each in meeting):
                call.unite(plane, plane.take([0], axis=axes[1]))


def _lies_along(call: RuleContext, operand: Operand, letter: str) -> bool:
    """Whether some channels of an operand lie along the axis of this letter, and none is kept."""
    axis = operand.letters.index(letter)
    return any(
        call.varying(plane) == (axis,) and not (collapse([plane])[0] == FIXED).any() for plane in _planes(call, operand)
    )


def _planes(call: RuleContext, operand: Operand) -> list[np.ndarray]:
    return [] if operand.factor.labels is None else call.planes(operand.factor.labels)


def _of_constants(call: RuleContext, operands: Sequence[Operand], written: str) -> dict[str, np.ndarray]:
    """The last axis of a product without channels, if a constant alone has it: it may meet channels later.

    So it is of positions and frequencies, of which the angles of rotary embeddings are made.
    """
    having = [each for each in operands if written[-1:] in each.letters]
    if len(written) < 2 or len(having) != 1 or not having[0].factor.path:
        return {}
    axis, shape = having[0].letters.index(written[-1]), having[0].factor.shape
    return {written[-1]: call.constant_channels(having[0].factor.path, axis, shape[axis] or 1)}


def _channels(call: RuleContext, operand: Operand) -> dict[str, np.ndarray]:
    """The channels along the axes of an operand, by the letters of these."""
    if operand.factor.labels is None:
        return {}
    found = {operand.letters[axis]: vector for axis, vector in call.along_axes(operand.factor.labels).items()}
    if any(operand.letters.count(letter) > 1 for letter in found):
        raise Unsupported("it takes a diagonal of the channels")
    return found


def _count(
    call: RuleContext, operands: Sequence[Operand], channels: Sequence[dict[str, np.ndarray]], written: str
) -> None:
    """Two factors at a time is what backends multiply; of more the order is unknown."""
    if len(operands) > 2:
        call.contract(None)
    if len(operands) != 2:
        return
    sizes: dict[str, int | None] = {}
    for operand in operands:
        for letter, size in zip(operand.letters, operand.factor.shape, strict=True):
            sizes[letter] = size if sizes.get(letter, 1) == 1 else sizes[letter]
    along = {letter: vector for vectors in channels for letter, vector in vectors.items()}
    data = [each.letters for each in operands if each.factor.labels is not None and not each.factor.of_weights]
    sizes.pop(written[:1] if len(data) == 2 else data[0][:1] if data else "", None)  # the samples
    positions = 1
    for letter, size in sizes.items():
        if letter not in along:
            if size is None:
                call.contract(None)
                return
            positions *= size
    call.contract(positions, *along.values())


def _factors(call: RuleContext) -> list[Factor]:
    """All factors; arrays that are no tensors of the graph have no channels."""
    found: list[Factor] = []
    constants = iter(find_constants(call.args, call.kwargs))
    for leaf in keras.tree.flatten(call.args if len(call.args) > 1 or not call.kwargs else (call.args, call.kwargs)):
        if isinstance(leaf, Labels):
            found.append(Factor(call.shape_of(leaf), leaf))
        elif isinstance(leaf, keras.Variable):
            found.append(Factor(tuple(leaf.shape), as_labels(fixed(tuple(leaf.shape)))))
        elif hasattr(leaf, "shape"):
            found.append(Factor(tuple(leaf.shape), path=next(constants)[0] if len(leaf.shape) else ()))
        else:
            raise Unsupported("it is called in an unknown way")
    return found


@register_operation("numpy.Einsum")
def einsum(call: RuleContext) -> np.ndarray | Planes:
    factors = _factors(call)
    match = re.fullmatch(r"([a-zA-Z.,]+)->([a-zA-Z.]*)", call.operation.subscripts.replace(" ", ""))
    if match is None or match[1].count(",") != len(factors) - 1:
        raise Unsupported(f"its equation '{call.operation.subscripts}' is not of the form 'ab,bc->ac'")
    read, written = match[1].split(","), match[2]
    free = [letter for letter in string.ascii_letters if letter not in call.operation.subscripts]
    ranks = [len(factor.shape) - len(letters.replace("...", "")) for letters, factor in zip(read, factors, strict=True)]
    rank = max((r for r, letters in zip(ranks, read, strict=True) if "..." in letters), default=0)
    dots = "".join(free[:rank])
    operands = [
        Operand(factor, letters.replace("...", dots[rank - own :]))
        for factor, letters, own in zip(factors, read, ranks, strict=True)
    ]
    return contract(call, operands, written.replace("...", dots))


@register_operation("numpy.Matmul")
def matmul(call: RuleContext) -> np.ndarray | Planes:
    first, second = _factors(call)
    ranks = len(first.shape), len(second.shape)
    outer = string.ascii_lowercase[: max(*ranks, 2) - 2]
    left, right = ("xy", "yz")
    left, right = (
        letter if rank == 1 else outer[len(outer) - rank + 2 :] + letters
        for rank, letter, letters in zip(ranks, "yy", (left, right), strict=True)
    )
    written = outer + ("x" if ranks[0] > 1 else "") + ("z" if ranks[1] > 1 else "")
    return contract(call, [Operand(first, left), Operand(second, right)], written)


@register_operation("numpy.Dot", "numpy.Tensordot", "numpy.Inner")
def tensordot(call: RuleContext) -> np.ndarray | Planes:
    """No axis of both is in the result: two tensors of the graph would multiply each sample with all others."""
    first, second = _factors(call)
    if not (first.shape and second.shape):
        raise Unsupported("it multiplies by a number as if that were a tensor")
    if sum(each.labels is not None and not each.of_weights for each in (first, second)) > 1:
        call.contract(None)
        raise Unsupported("it multiplies each sample with all others")
    names = string.ascii_letters
    left = list(names[: len(first.shape)])
    right = list(names[len(left) : len(left) + len(second.shape)])
    summed = _summed(call, len(left), len(right))
    for place, other in summed:
        right[other] = left[place]
    read = {left[place] for place, _ in summed}
    written = "".join(letter for letter in left + right if letter not in read)
    return contract(call, [Operand(first, "".join(left)), Operand(second, "".join(right))], written)


def _summed(call: RuleContext, first: int, second: int) -> list[tuple[int, int]]:
    """The axes of two factors of these ranks that are summed together."""
    match type(call.operation).__name__:
        case "Tensordot":
            axes = call.operation.axes
            if isinstance(axes, int):
                return [(first - axes + place, place) for place in range(axes)]
            left, right = ([each] if isinstance(each, int) else each for each in axes)
            return [(place % first, other % second) for place, other in zip(left, right, strict=True)]
        case "Dot":
            return [(first - 1, max(second - 2, 0))]
    return [(first - 1, second - 1)]


@register_rule(layers.Dot)
def dot(call: RuleContext) -> np.ndarray | Planes:
    layer, factors = call.operation, _factors(call)
    ranks = [len(factor.shape) for factor in factors]
    axes = [layer.axes, layer.axes] if isinstance(layer.axes, int) else list(layer.axes)
    names = string.ascii_lowercase
    letters = [list("A" + names[: ranks[0] - 1]), list("A" + names[ranks[0] - 1 : sum(ranks) - 2])]
    for own, axis in zip(letters, axes, strict=True):
        own[axis] = "z"
    operands = [Operand(factor, "".join(own)) for factor, own in zip(factors, letters, strict=True)]
    written = "".join(letter for letter in letters[0] + letters[1][1:] if letter != "z")
    labels = contract(call, operands, written + ("1" if len(written) == 1 else ""))
    if layer.normalize:
        for labels in call.inputs:
            for plane in call.planes(labels):
                call.mark_inexact(plane, "it normalises over the channels")
    return labels


@register_operation("nn.DotProductAttention")
def dot_product_attention(call: RuleContext) -> np.ndarray | Planes:
    """Attention without projections: query, key and value have axes of samples, positions, heads and dimensions."""
    given = [call.argument(place, name) for place, name in enumerate(("query", "key", "value"))]
    if not all(isinstance(labels, Labels) for labels in given):
        raise Unsupported("it is called in an unknown way")
    query, key, value = given
    others = [labels for labels in call.inputs if not any(labels is each for each in given)]
    if any(has_channels(labels) for labels in others):
        raise Unsupported("its mask or bias depends on channels")
    if query.shape[2:] != key.shape[2:] or key.shape[2:] != value.shape[2:]:
        raise Unsupported("queries, keys and values have different numbers of heads or dimensions")
    channels, heads = (_common(call, given, axis) for axis in (3, 2))
    if any(len(shape) > 2 and shape[-3] != 1 for shape in _biases(call, given)):
        call.freeze(heads, f"{call.kind}: its mask or bias differs from head to head")
    call.read()
    if call.argument(5, "scale") is None:
        call.mark_inexact(channels, "its scores are divided by the root of the number of channels")
    pairs = entries((None, call.shape_of(query)[1], call.shape_of(key)[1]))
    call.contract(pairs, channels, heads)
    call.contract(pairs, channels, heads)
    return call.lay({axis: vector for axis, vector in ((3, channels), (2, heads)) if has_channels(vector)})


def _common(call: RuleContext, given: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """The channels along an axis of query, key and value, united.

    Those of the values too: Keras on JAX (3.15) can run no values of another dimension.
    """
    first, *others = [call.along_axes(each).get(axis, np.full(each.shape[axis], FIXED)) for each in given]
    for other in others:
        call.unite(first, other)
    return first


def _biases(call: RuleContext, given: Sequence[np.ndarray]) -> list[tuple[int | None, ...]]:
    """The shapes of the masks and biases: samples, heads, queries and keys."""
    tensors = zip(call.inputs, call.input_shapes, strict=True)
    others = [shape for labels, shape in tensors if not any(labels is each for each in given)]
    return [*others, *(shape for _, shape in find_constants(call.args, call.kwargs))]
