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

from keras_prune.tracing.labels import fixed
from keras_prune.tracing.products import entries
from keras_prune.tracing.rule_context import Labels, RuleContext, Unsupported, has_channels
from keras_prune.tracing.rules.registry import register_operation, register_rule

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Operand:
    """A factor: its labels, its shape, and a letter for each axis."""

    labels: np.ndarray
    shape: Shape
    letters: str

    def size(self, letter: str) -> int | None:
        return self.shape[self.letters.index(letter)]


def contract(call: RuleContext, operands: Sequence[Operand], written: str) -> np.ndarray:
    """The labels of a product, whose axes have the letters `written`.

    Raises:
        Unsupported: Channels meet entries that must be kept, or lie along several axes of the product.
    """
    channels = [_channels(call, operand) for operand in operands]
    _count(call, operands, channels, written)
    call.read()
    found: dict[str, np.ndarray] = {}
    for letter in dict.fromkeys(letter for letter, _ in channels if letter):
        along = [vector for other, vector in channels if other == letter]
        having = [operand for operand in operands if letter in operand.letters and operand.size(letter) != 1]
        if len(along) != len(having):
            raise Unsupported("it multiplies channels by entries that are none")
        for vector in along[1:]:
            call.unite(along[0], vector)
        if letter in written:
            found[letter] = along[0]
    if len(found) > 1:
        raise Unsupported("channels would lie along several axes of its product")
    for letter, vector in found.items():
        return call.spread(vector, written.index(letter))
    return call.fixed()


def _channels(call: RuleContext, operand: Operand) -> tuple[str, np.ndarray]:
    """The letter of the axis along which the channels of an operand lie, and the channels."""
    axis, channels = call.channels(operand.labels)
    letter = "" if axis is None else operand.letters[axis]
    if letter and operand.letters.count(letter) > 1:
        raise Unsupported("it takes a diagonal of the channels")
    return letter, channels


def _count(
    call: RuleContext, operands: Sequence[Operand], channels: Sequence[tuple[str, np.ndarray]], written: str
) -> None:
    """Two factors at a time is what backends multiply; of more the order is unknown."""
    if len(operands) > 2:
        call.contract(None)
    if len(operands) != 2:
        return
    sizes: dict[str, int | None] = {}
    for operand in operands:
        for letter, size in zip(operand.letters, operand.shape, strict=True):
            sizes[letter] = size if sizes.get(letter, 1) == 1 else sizes[letter]
    along = {letter: vector for letter, vector in channels if letter}
    sizes.pop(written[:1], None)  # the samples
    positions = 1
    for letter, size in sizes.items():
        if letter not in along:
            if size is None:
                call.contract(None)
                return
            positions *= size
    call.contract(positions, *along.values())


def _factors(call: RuleContext) -> list[tuple[np.ndarray, Shape]]:
    """All factors; arrays that are no tensors of the graph have no channels."""
    found: list[tuple[np.ndarray, Shape]] = []
    for leaf in keras.tree.flatten(call.args if len(call.args) > 1 or not call.kwargs else (call.args, call.kwargs)):
        if isinstance(leaf, Labels):
            found.append((np.asarray(leaf), call.shape_of(leaf)))
        elif hasattr(leaf, "shape"):
            found.append((fixed(tuple(leaf.shape)), tuple(leaf.shape)))
        else:
            raise Unsupported("it is called in an unknown way")
    return found


@register_operation("numpy.Einsum")
def einsum(call: RuleContext) -> np.ndarray:
    factors = _factors(call)
    match = re.fullmatch(r"([a-zA-Z.,]+)->([a-zA-Z.]*)", call.operation.subscripts.replace(" ", ""))
    if match is None or match[1].count(",") != len(factors) - 1:
        raise Unsupported(f"its equation '{call.operation.subscripts}' is not of the form 'ab,bc->ac'")
    read, written = match[1].split(","), match[2]
    free = [letter for letter in string.ascii_letters if letter not in call.operation.subscripts]
    ranks = [len(shape) - len(letters.replace("...", "")) for letters, (_, shape) in zip(read, factors, strict=True)]
    rank = max((r for r, letters in zip(ranks, read, strict=True) if "..." in letters), default=0)
    dots = "".join(free[:rank])
    operands = [
        Operand(labels, shape, letters.replace("...", dots[rank - own :]))
        for (labels, shape), letters, own in zip(factors, read, ranks, strict=True)
    ]
    return contract(call, operands, written.replace("...", dots))


@register_operation("numpy.Matmul")
def matmul(call: RuleContext) -> np.ndarray:
    (first, second) = _factors(call)
    ranks = len(first[1]), len(second[1])
    if min(ranks) < 2:
        call.contract(_products(call, first[1][-1]))
        raise Unsupported("it multiplies by a vector")
    outer = string.ascii_lowercase[: max(ranks) - 2]
    left = outer[len(outer) - ranks[0] + 2 :] + "xy"
    right = outer[len(outer) - ranks[1] + 2 :] + "yz"
    return contract(call, [Operand(*first, left), Operand(*second, right)], outer + "xz")


@register_operation("numpy.Dot", "numpy.Tensordot", "numpy.Inner")
def tensordot(call: RuleContext) -> np.ndarray:
    """No axis of both is in the result: two tensors of the graph would multiply each sample with all others."""
    if len(call.inputs) == 1:  # by a constant
        call.contract(_products(call, _summed(call)))
    else:
        call.contract(None)
    raise Unsupported("it multiplies channels by a constant, or each sample with all others")


def _summed(call: RuleContext) -> int | None:
    """How many products are summed for each entry of a product of two."""
    (_, first), (_, second) = _factors(call)
    if type(call.operation).__name__ == "Tensordot":
        axes = call.operation.axes
        if isinstance(axes, int):
            return entries((None, *first[len(first) - axes :]))
        places = [axes[0]] if isinstance(axes[0], int) else axes[0]
        return entries((None, *(first[place] for place in places)))
    return first[-1] if first and second else 1


def _products(call: RuleContext, summed: int | None) -> int | None:
    """The products of all entries of the output, of each of which so many are summed."""
    made = entries(call.output_shapes[0])
    return None if made is None or summed is None else made * summed


@register_rule(layers.Dot)
def dot(call: RuleContext) -> np.ndarray:
    layer, factors = call.operation, _factors(call)
    ranks = [len(shape) for _, shape in factors]
    axes = [layer.axes, layer.axes] if isinstance(layer.axes, int) else list(layer.axes)
    names = string.ascii_lowercase
    letters = [list("A" + names[: ranks[0] - 1]), list("A" + names[ranks[0] - 1 : sum(ranks) - 2])]
    for own, axis in zip(letters, axes, strict=True):
        own[axis] = "z"
    operands = [Operand(*factor, "".join(own)) for factor, own in zip(factors, letters, strict=True)]
    written = "".join(letter for letter in letters[0] + letters[1][1:] if letter != "z")
    labels = contract(call, operands, written + ("1" if len(written) == 1 else ""))
    if layer.normalize:
        for operand in operands:
            call.mark_inexact(operand.labels, "it normalises over the channels")
    return labels


@register_operation("nn.DotProductAttention")
def dot_product_attention(call: RuleContext) -> np.ndarray:
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
    channels = call.vector(query)
    for each in (key, value):  # values too: Keras on JAX (3.15) can run no values of another dimension
        call.unite(channels, call.vector(each))
    call.read()
    if call.argument(5, "scale") is None:
        call.mark_inexact(channels, "its scores are divided by the root of the number of channels")
    pairs = entries((None, call.shape_of(query)[1], call.shape_of(key)[1], call.shape_of(query)[2]))
    call.contract(pairs, channels)
    call.contract(pairs, channels)
    return call.spread(channels)
