"""`Frontier`: values of tensors inside a model, each computed once for a batch where memory allows.

The layers of a model are fitted one after the other, and each asks for values a little further on. So what later
operations read is held from one to the next; a batch that there is no room for is computed from the inputs each time.
So is every batch of a model with masks of time steps: Keras hands them on with the tensors, unseen in the graph.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Collection, Iterable
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.measurement.batches import as_inputs
from keras_prune.measurement.predict_batch import predict_batch

HELD = 1 << 25  # entries that are held of a model: 128 MB of float32


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """A part of a model: what is computed from what, and which of all that is held. Tensors are their identities."""

    given: list[int]
    made: list[int]
    model: keras.Model | None
    held: list[int]


class Frontier:
    """Values of tensors of a model, in inference.

    Args:
        model: A Functional model without models inside.

    Attributes:
        masked: Whether masks of time steps are handed on in it.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self._inputs = {id(tensor): tensor for tensor in keras.tree.flatten(model.inputs)}
        self._nodes: dict[int, Any] = {}  # the node that makes a tensor
        self._readers: dict[int, list[Any]] = {}
        self._tensors = dict(self._inputs)
        for node in _keras.graph_nodes(model):
            self._tensors.update((id(tensor), tensor) for tensor in node.outputs)
            self._nodes.update((id(tensor), node) for tensor in node.outputs)
            for tensor in node.arguments.keras_tensors:
                self._readers.setdefault(id(tensor), []).append(node)
        self._uses = collections.Counter(id(node.operation) for node in _keras.graph_nodes(model))
        self.masked = any(_keras.has_mask(tensor) for tensor in self._tensors.values())
        self._held: dict[bytes, dict[int, np.ndarray]] = {}  # by what the batch is
        self._parts: dict[frozenset[int], _Part] = {}  # by what is known
        self._asked: set[int] = set()

    def values(self, tensors: Iterable[Any], x: Any) -> list[np.ndarray]:
        """The values of some tensors.

        Args:
            tensors: Tensors of the model.
            x: A batch of inputs.
        """
        asked = [id(tensor) for tensor in tensors]
        if set(asked) != self._asked:
            self._asked, self._parts = set(asked), {}
        given = [np.asarray(each) for each in keras.tree.flatten(as_inputs(self.model, x))]
        batch = _digest(given)
        known = {**self._held.pop(batch, {}), **dict(zip(self._inputs, given, strict=True))}
        key = frozenset(known)
        if key not in self._parts:
            self._parts[key] = self._part(key)
        part = self._parts[key]
        if part.model is not None:
            found = predict_batch(part.model, [known[each] for each in part.given])
            known.update(zip(part.made, map(np.asarray, found), strict=True))
        held = {each: known[each] for each in part.held}
        if sum(each.size for own in (held, *self._held.values()) for each in own.values()) <= HELD:
            self._held[batch] = held
        return [known[each] for each in asked]

    def can_begin(self, tensor: Any) -> bool:
        """Whether a part of the model can begin with a tensor: it is an input, or hands on no mask, and is made by an
        operation that is used once. (From one of several uses Keras finds no way to the others.)
        """
        node = self._nodes.get(id(tensor))
        return node is None or (not self.masked and self._uses[id(node.operation)] == 1)

    def forget(self, operations: Iterable[Any]) -> None:
        """Compute again what depends on the weights of these operations, which were changed."""
        changed = {id(each) for each in operations}
        for held in self._held.values():
            for each in list(held):
                if any(id(node.operation) in changed for node in self._between([each], ())):
                    del held[each]

    def _part(self, known: frozenset[int]) -> _Part:
        nodes = self._between([each for each in self._asked if each not in known], known)
        done = {id(node) for node in (*nodes, *self._between(list(known), ()))}
        reached = [*known, *(id(tensor) for node in nodes for tensor in node.outputs)]
        held = [
            each
            for each in dict.fromkeys(reached)
            if each not in self._inputs
            and self.can_begin(self._tensors[each])
            and any(id(node) not in done for node in self._readers.get(each, ()))
        ]
        made = [each for each in dict.fromkeys((*self._asked, *held)) if each not in known]
        read = {id(tensor) for node in nodes for tensor in node.arguments.keras_tensors}
        given = [each for each in known if each in read]
        if not made:
            return _Part([], [], None, held)
        model = keras.Model([self._tensors[each] for each in given], [self._tensors[each] for each in made])
        model.run_eagerly = True  # for a few batches compiling takes longer
        return _Part(given, made, model, held)

    def _between(self, tensors: Iterable[int], known: Collection[int]) -> list[Any]:
        """The nodes that tensors are made by from known ones, or from the inputs."""
        todo, found = [each for each in tensors if each not in known], {}
        while todo:
            node = self._nodes.get(todo.pop())
            if node is not None and id(node) not in found:
                found[id(node)] = node
                todo += [id(each) for each in node.arguments.keras_tensors if id(each) not in known]
        return list(found.values())


def _digest(arrays: Iterable[np.ndarray]) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for each in arrays:
        found.update(str(each.shape).encode())
        found.update(repr(each.tolist()).encode() if each.dtype.hasobject else each.tobytes())
    return found.digest()
