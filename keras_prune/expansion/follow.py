"""Channels of any model: through its graph as it is, or through the one that it is written out as."""

import keras

from keras_prune import _keras
from keras_prune.expansion.expand import write_out
from keras_prune.expansion.parts import is_leaf
from keras_prune.expansion.report import find_report, report
from keras_prune.tracing.checks import check_model
from keras_prune.tracing.trace import Trace, trace


def as_graph(model: keras.Model) -> keras.Model:
    """Return the model, if channels can be followed through it, else the Functional model that it is written out as.

    That is compiled with the loss and the metrics of the model.

    Raises:
        TypeError: It is no Keras model.
        ValueError: It is not built, has masks, or cannot be written out.
    """
    return follow(model).model


def follow(model: keras.Model, apart: bool = True) -> Trace:
    """Return the channels of a model; `.model` of it is the model that they are those of: see `as_graph`.

    Custom layers that channels can be followed through stay as they are. If those in the way cannot be written out, the
    model stays as it is, and the reason stands with them.

    Args:
        model: The model.
        apart: Whether custom layers in the graph of a model may come apart. Defaults to True.
    """
    check_model(model)
    if not _keras.is_graph(model):
        return trace(_compiled_like(model, write_out(model)))
    found = trace(model)
    in_the_way = [part for part in _keras.flatten(model) if id(part) in found.given_up and not is_leaf(part)]
    if not apart or not in_the_way or find_report(model) is not None:
        return found
    blocked = {id(part) for part in in_the_way}
    followed = [
        place
        for place, part in enumerate(_keras.flatten(model))
        if not is_leaf(part)
        and id(part) in found.names
        and id(part) not in found.unfollowed
        and blocked.isdisjoint(map(id, _keras.flatten(part)))  # a model may hold what is in the way
    ]
    try:
        expanded = write_out(model, followed=followed)
    except ValueError as error:
        for layer in in_the_way:
            name = found.names[id(layer)]
            found.unknown[name] += f"; the model cannot be written out ({str(error).partition(': ')[2]})"
        return found
    apart_now = {layer.kind for layer in report(expanded).layers if layer.operations is not None}
    if apart_now.isdisjoint(type(layer).__name__ for layer in in_the_way):  # nothing is gained
        return found
    return trace(_compiled_like(model, expanded))


def _compiled_like(model: keras.Model, graph: keras.Model) -> keras.Model:
    _keras.compile_like(model, graph)
    return graph
