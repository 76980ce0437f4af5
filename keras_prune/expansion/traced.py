"""What the code of a model computes on symbolic inputs: the nodes that it left, and which call of a layer left each."""

import dataclasses
from typing import Any

import keras

from keras_prune import _keras


@dataclasses.dataclass(eq=False)
class Call:
    """One call of a custom layer that came apart.

    Args:
        layer: The layer.
        path: The names of the layers around it, and its own.
        number: Its place among the calls, as they began.
        rank: The number of axes of the first tensor that it was called with.
        operations: The nodes of its own code, without those of the calls in it.
    """

    layer: keras.Layer
    path: tuple[str, ...]
    number: int
    rank: int
    operations: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(eq=False)
class Traced:
    """What a model computes on symbolic inputs.

    Args:
        inputs: The symbolic inputs, as the model takes them.
        outputs: The outputs, as it returns them.
        nodes: The nodes, each after those that it reads.
        calls: The calls of custom layers that came apart, by their end.
        around: By identity of a node the call that made it; without those of the model's own graph.
        sources: By identity of a symbolic tensor that no node made the variable, or the array, that it stands for.
    """

    inputs: Any
    outputs: Any
    nodes: list[Any]
    calls: list[Call]
    around: dict[int, Call]
    sources: dict[int, Any]


def ordered(outputs: Any, sources: dict[int, Any]) -> list[Any]:
    """The nodes that lead to these outputs, each after those that it reads, without inputs."""
    found: list[Any] = []
    seen: set[int] = set()
    todo: list[tuple[Any, bool]] = [
        (tensor, False) for tensor in reversed(keras.tree.flatten(outputs)) if isinstance(tensor, keras.KerasTensor)
    ]
    while todo:
        thing, done = todo.pop()
        if done:
            found.append(thing)
            continue
        made = None if id(thing) in sources else _keras.made_by(thing)
        if made is None or id(made[1]) in seen or made[1].is_input:
            continue
        seen.add(id(made[1]))
        todo.append((made[1], True))
        todo += [(tensor, False) for tensor in reversed(made[1].arguments.keras_tensors)]
    return found
