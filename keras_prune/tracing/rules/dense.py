"""Layers that multiply by a matrix: Dense, EinsumDense, Embedding."""

import re
import string

import numpy as np
from keras import layers

from keras_prune.tracing.labels import FIXED, Planes
from keras_prune.tracing.products import entries
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.activations import apply_activation
from keras_prune.tracing.rules.registry import register_rule


@register_rule(layers.Dense)
def dense(call: RuleContext) -> np.ndarray | Planes:
    """Channels along another axis than the last are carried: the layer does the same to each of them."""
    layer, (inputs,) = call.operation, call.inputs
    last = inputs.ndim - 1
    carried = call.along(inputs, last)
    read = carried.pop(last, np.full(inputs.shape[-1], FIXED))
    made = call.mint("units", layer.units)
    sizes = [size for axis, size in enumerate(call.input_shapes[0][:-1]) if axis not in carried]
    call.multiply(layer.kernel, entries(sizes), *carried.values())
    for channels in (made, *carried.values()):
        apply_activation(call, layer.activation, channels)
    call.bind(layer.kernel, 0, read, "in")
    call.bind(layer.kernel, 1, made, "out")
    call.bind(layer.bias, 0, made, "out")
    call.resize("units", made)
    return call.lay({**carried, last: made})


@register_rule(layers.Embedding)
def embedding(call: RuleContext) -> np.ndarray:
    layer = call.operation
    call.freeze(call.inputs[0], f"{call.kind} looks it up in a table")
    made = call.mint("output_dim", layer.output_dim)
    call.bind(layer.embeddings, 1, made, "out")
    call.resize("output_dim", made)
    return call.spread(made)


@register_rule(*([layers.ReversibleEmbedding] if hasattr(layers, "ReversibleEmbedding") else []))
def reversible_embedding(call: RuleContext) -> np.ndarray:
    """Looks up, or multiplies by a table turned round, the same one unless they are untied."""
    layer = call.operation
    made = call.mint("output_dim", layer.output_dim)
    call.bind(layer.embeddings, 1, made, "out")
    call.bind(getattr(layer, "reverse_embeddings", None), 0, made, "in")
    call.resize("output_dim", made)
    if not call.argument(1, "reverse", False):
        call.freeze(call.inputs[0], f"{call.kind} looks it up in a table")
        return call.spread(made)
    table = layer.embeddings if layer.tie_weights else layer.reverse_embeddings
    call.multiply(table, entries(call.input_shapes[0][:-1]))
    call.unite(made, call.vector(call.inputs[0]))
    call.read()  # zeros in a table that is shared would reach further
    return call.fixed()


@register_rule(layers.EinsumDense)
def einsum_dense(call: RuleContext) -> np.ndarray | Planes:
    """Letters of the kernel that the output lacks are read, those that the input lacks are made."""
    layer, (inputs,) = call.operation, call.inputs
    read, kernel, written = _letters(layer.equation, inputs.ndim)
    sizes = dict(zip(written + read, call.output_shapes[0] + call.input_shapes[0], strict=True))
    if len(call.varying(inputs)) > 1:
        call.multiply(layer.kernel, entries([None, *(sizes[each] for each in sizes if each not in kernel + read[0])]))
        raise Unsupported("its channels lie along several axes of its input")
    along = {read[axis]: channels for axis, channels in call.along_axes(inputs).items()}
    carried = {letter: channels for letter, channels in along.items() if letter in written}
    new = [letter for letter in written if letter in kernel and letter not in read]
    keys = {letter: "last" if letter == new[-1] else f"axis{written.index(letter)}" for letter in new}
    made = {letter: call.mint(key, sizes[letter] or 1) for letter, key in keys.items()}
    moved = "".join(letter for letter in carried if letter not in kernel)
    positions = entries([None, *(sizes[each] for each in sizes if each not in kernel + moved + read[0])])
    call.multiply(layer.kernel, positions, *(carried[letter] for letter in moved))
    for axis, each in enumerate(kernel):
        if each in along:
            call.bind(layer.kernel, axis, along[each], "through" if each in carried else "in")
        elif each in made:
            call.bind(layer.kernel, axis, made[each], "out")
        elif each in read and each not in written and call.input_shapes[0][read.index(each)] == 1:
            call.bind(layer.kernel, axis, call.vector(inputs, read.index(each)), "in")
    found = {**carried, **made}
    shape = list(layer.partial_output_shape)
    for letter, channels in found.items():
        apply_activation(call, layer.activation, channels)
        place = written.index(letter) - len(written)  # counted from the end, where all shapes agree
        if layer.bias is not None and letter in layer.bias_axes:
            call.bind(layer.bias, place, channels, "through" if letter in carried else "out")
        elif layer.bias is not None and place == -1:
            # On TensorFlow Keras (3.15) adds a bias of other axes along the last one as soon as their sizes agree.
            raise Unsupported("its bias lies along another axis than the last, which must keep its size")
    given = {written.index(letter) - len(written) + len(shape): channels for letter, channels in found.items()}
    given = {place: channels for place, channels in given.items() if place >= 0 and shape[place] is not None}
    if given:
        call.change(
            "output_shape",
            lambda kept: [kept.count(given[at]) if at in given else size for at, size in enumerate(shape)],
        )
    return call.lay({written.index(letter): channels for letter, channels in found.items()})


def _letters(equation: str, rank: int) -> tuple[str, str, str]:
    match = re.fullmatch(r"([a-zA-Z.]+),([a-zA-Z]+)->([a-zA-Z.]+)", equation.replace(" ", ""))
    read, kernel, written = match.groups() if match else ("", "", "")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    dots = "".join(free[: rank - len(read.replace("...", ""))])
    read, written = (letters.replace("...", dots) for letters in (read, written))
    if len(read) != rank or "." in read + written:  # dots where there is no axis, or none where there is
        raise Unsupported(f"its equation '{equation}' is not of the form 'ab,bc->ac'")
    return read, kernel, written
