"""Layers that multiply by a matrix: Dense, EinsumDense, Embedding."""

import re
import string

import numpy as np
from keras import layers

from keras_prune.tracing.products import entries
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.activations import apply_activation
from keras_prune.tracing.rules.registry import register_rule


@register_rule(layers.Dense)
def dense(call: RuleContext) -> np.ndarray:
    layer, (inputs,) = call.operation, call.inputs
    varying = call.varying(inputs)
    shape = call.input_shapes[0][:-1]
    if varying and varying[-1] != inputs.ndim - 1:  # mixes positions, the same way in each channel
        axis = varying[-1]
        call.multiply(layer.kernel, entries(shape[:axis] + shape[axis + 1 :]), call.vector(inputs, axis))
        apply_activation(call, layer.activation, inputs)
        return np.broadcast_to(inputs[..., :1], call.fixed().shape)
    made = call.mint("units", layer.units)
    call.multiply(layer.kernel, entries(shape))
    apply_activation(call, layer.activation, made)
    call.bind(layer.kernel, 0, call.vector(inputs), "in")
    call.bind(layer.kernel, 1, made, "out")
    call.bind(layer.bias, 0, made, "out")
    call.resize("units", made)
    return call.spread(made)


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
def einsum_dense(call: RuleContext) -> np.ndarray:
    """Letters of the kernel that the output lacks are read, the last one that the input lacks is made."""
    layer, (inputs,) = call.operation, call.inputs
    read, kernel, written = _letters(layer.equation, inputs.ndim)
    sizes = dict(zip(written + read, call.output_shapes[0] + call.input_shapes[0], strict=True))
    along = [read[axis] for axis in call.varying(inputs)]
    consumed = [letter for letter in along if letter in kernel and letter not in written]
    carried = [letter for letter in along if letter not in consumed]
    if len(along) > 1 and carried:
        call.multiply(layer.kernel, entries([None, *(sizes[each] for each in sizes if each not in kernel + read[0])]))
        raise Unsupported("its channels lie along several axes of its input")
    new = [letter for letter in written if letter in kernel and letter not in read]
    if carried:
        letter, channels = carried[0], call.vector(inputs, read.index(carried[0]))
    elif new:
        letter, channels = new[-1], call.mint("last", call.fixed().shape[written.index(new[-1])])
    else:
        letter, channels = "", np.empty(0, np.int64)
    moved = carried[0] if carried and carried[0] not in kernel else ""
    positions = entries([None, *(sizes[each] for each in sizes if each not in kernel + moved + read[0])])
    call.multiply(layer.kernel, positions, *([channels] if moved else []))
    for axis, each in enumerate(kernel):
        if each in consumed[-1:]:
            call.bind(layer.kernel, axis, call.vector(inputs, read.index(each)), "in")
        elif each in consumed:
            raise Unsupported("its channels lie along several axes of its input")
        elif each == letter:
            call.bind(layer.kernel, axis, channels, "through" if carried else "out")
        elif each in read and each not in written and call.input_shapes[0][read.index(each)] == 1:
            call.bind(layer.kernel, axis, call.vector(inputs, read.index(each)), "in")
    if not letter:
        return call.fixed()
    apply_activation(call, layer.activation, channels)
    where = written.index(letter)
    if layer.bias is not None and where == len(written) - 1 and letter not in layer.bias_axes:
        # On TensorFlow Keras (3.15) adds a bias of other axes along the last one as soon as their sizes agree.
        raise Unsupported("its bias lies along another axis than the last, which must keep its size")
    place = where - len(written)  # counted from the end, where all shapes agree
    if layer.bias is not None and letter in layer.bias_axes:
        call.bind(layer.bias, place, channels, "through" if carried else "out")
    shape = list(layer.partial_output_shape)
    if -place <= len(shape) and shape[place] is not None:
        call.change(
            "output_shape", lambda kept: [*shape[:place], kept.count(channels), *shape[len(shape) + place + 1 :]]
        )
    return call.spread(channels, where)


def _letters(equation: str, rank: int) -> tuple[str, str, str]:
    match = re.fullmatch(r"([a-zA-Z.]+),([a-zA-Z]+)->([a-zA-Z.]+)", equation.replace(" ", ""))
    read, kernel, written = match.groups() if match else ("", "", "")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    dots = "".join(free[: rank - len(read.replace("...", ""))])
    read, written = (letters.replace("...", dots) for letters in (read, written))
    if len(read) != rank or "." in read + written:  # dots where there is no axis, or none where there is
        raise Unsupported(f"its equation '{equation}' is not of the form 'ab,bc->ac'")
    return read, kernel, written
