"""Candidates: which parts of a model can be bypassed, and what is then removed.

Three kinds. A *branch* is what a sum adds to a shortcut: it is removed and the other operand is kept, as if the branch
were zero. A *layer* has an output of the shape of its input: it is removed with the normalisation, activation and
dropout that follow it, since those belong to what it computed. A *model* inside is removed like a layer.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable
from typing import Any, Literal

import keras
from keras import layers

from keras_prune import _keras
from keras_prune.graph.structure import Graph, Structure, data_tensors, has_weights
from keras_prune.layers.bypass import Cut
from keras_prune.layers.residual_sums import droppable, operands
from tflite_export.reporting import Shown

Kind = Literal["branch", "layer", "model", "block"]

_NORMS = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.RMSNormalization,
    layers.UnitNormalization,
    layers.Normalization,
)
_SOME = 64  # a size for those that are unknown
_ACTIVATIONS = "Relu Relu6 Sigmoid Softplus Softsign Silu LeakyRelu HardSigmoid HardSilu Elu Selu Gelu Celu Softmax"
_FOLLOWERS = (
    *_NORMS,
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.PReLU, layers.Softmax),
    *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
    *(layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout),
    *(layers.ActivityRegularization, layers.Identity),
    *_keras.operation_classes(*(f"nn.{name}" for name in _ACTIVATIONS.split()), "numpy.Tanh"),
)


_SHORTCUT = "has it as its shortcut: it brings the start of the branch to the branch's shape"
_TOWERS = "has no shortcut: its other operand has as many layers"


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate(Shown):
    """A part of a model that can be removed.

    Args:
        name: Path of the sum, of the layer, or of the model inside. The second use of a layer is `"name#2"`, and where
            a sum adds several branches, that of its third operand is `"name:2"`.
        kind: `"branch"`, `"layer"`, `"model"` or `"block"`.
        cuts: What changes in the graph.
        nodes: The uses of operations that are no longer computed then, except those inside of models.
        vanishing: The same with those inside of models that are used nowhere else.
        uses: The uses of layers that are removed with it, those inside of models included: for each the nodes of these
            models, by identity, and its own.
        layers: Paths of the layers among them.
        parameters: Number of weights that are removed with it if it is removed alone. A layer that is used elsewhere is
            kept there.
        macs: Multiply-accumulates that are removed with it, for one sample; None if they are unknown. Defaults to None.
        unranked: Why a ratio or budget does not consider it, though it can be named. Defaults to "": they do.
    """

    name: str
    kind: Kind
    cuts: tuple[Cut, ...]
    nodes: tuple[Any, ...]
    vanishing: tuple[Any, ...]
    uses: frozenset[tuple[int, ...]]
    layers: tuple[str, ...]
    parameters: int
    macs: int | None = None
    unranked: str = ""

    @property
    def operations(self) -> list[Any]:
        """The layers and operations that vanish, each once."""
        return list({id(node.operation): node.operation for node in self.vanishing}.values())


def is_follower(node: Any) -> bool:
    """Whether the operation belongs to the layer before it: normalisation, activation, dropout."""
    operation = node.operation
    return isinstance(operation.layer if isinstance(operation, layers.TimeDistributed) else operation, _FOLLOWERS)


def is_layer(node: Any) -> bool:
    """Whether the node uses a layer that could be worth removing."""
    return has_weights(node) and not is_follower(node)


def find_candidates(structure: Structure) -> tuple[list[Candidate], dict[str, str]]:
    """Return all candidates, in the order of the model, and why other layers cannot be removed, by path."""
    reasons: dict[str, str] = {}
    branches = [each for graph in structure.graphs for each in _branches(structure, graph, reasons)]
    inside = _smallest(branches)
    found = list(branches)
    for node in structure.nodes:
        if not is_layer(node):
            continue
        candidate, reason = _layer(structure, node, inside.get(id(node)))
        if candidate is not None:
            found.append(candidate)
        else:
            reasons.setdefault(structure.path(node), reason)
    order = structure.order
    found.sort(key=lambda candidate: order[id(candidate.cuts[0].node)])
    taken = {path for candidate in found for path in candidate.layers}
    wanted = [structure.path(node) for node in structure.nodes if is_layer(node)]
    return _rank(structure, found), {path: reasons[path] for path in wanted if path in reasons and path not in taken}


def is_covered(uses: Iterable[tuple[int, ...]], gone: Collection[tuple[int, ...]]) -> bool:
    """Whether all these uses of layers are among the removed ones, in the models that they are in or around them."""
    return all(any(use[start:] in gone for start in range(len(use))) for use in uses)


def _branches(structure: Structure, graph: Graph, reasons: dict[str, str]) -> list[Candidate]:
    """The branches of a graph: operands of sums that share their start with another operand of fewer layers."""
    found = []
    for node in graph.nodes:
        tensors = operands(node)
        own = [_own(graph, node, tensor) for tensor in tensors]
        counts = [len(_uses(structure, nodes)) for nodes in own]
        starts = [_starts(graph, nodes, tensor) for nodes, tensor in zip(own, tensors, strict=True)]
        mine = []
        for index in droppable(node):
            others = [other for other in range(len(tensors)) if other != index]
            fits = any(_can_replace(tensors[other], node.outputs[0]) for other in others)
            shared = [other for other in others if starts[other] & starts[index]]
            if counts[index] and fits and any(counts[other] < counts[index] for other in shared):
                mine.append(index)
            elif counts[index] and shared:
                reason = f"without it, the sum '{structure.path(node)}' would have another shape"
                if fits:
                    more = any(counts[other] > counts[index] for other in shared)
                    reason = f"the sum '{structure.path(node)}' " + (_SHORTCUT if more else _TOWERS)
                reasons.update((structure.path(each), reason) for each in structure.with_inner(own[index]))
        for index in mine:
            name = _name(structure, node) + (f":{index}" if len(mine) > 1 else "")
            found.append(candidate_of(structure, name, "branch", [Cut(node, index)], [*own[index]]))
    return found


def _own(graph: Graph, node: Any, tensor: Any) -> list[Any]:
    """The nodes that only this operand of a sum is computed from."""
    if sum(each is tensor for each in operands(node)) > 1:
        return []
    owned: dict[int, Any] = {}
    outputs = {id(each) for each in graph.outputs}
    todo = [graph.producers.get(id(tensor))]
    while todo:
        each = todo.pop()
        if each is None or id(each) in owned:
            continue
        readers = [(made, reader) for made in each.outputs for reader in graph.consumers.get(id(made), ())]
        needed = any(id(made) in outputs for made in each.outputs)
        if not needed and all(id(reader) in owned or (reader is node and made is tensor) for made, reader in readers):
            owned[id(each)] = each
            todo += [graph.producers.get(id(read)) for read in each.arguments.keras_tensors]
    return list(owned.values())


def _starts(graph: Graph, own: list[Any], tensor: Any) -> set[int]:
    """The tensors that an operand is computed from by the nodes that are its own; itself if it has none."""
    made = {id(each) for node in own for each in node.outputs}
    read = {id(each) for node in own for each in node.arguments.keras_tensors}
    return read - made if own else {id(tensor)}


def _layer(structure: Structure, node: Any, branch: Candidate | None) -> tuple[Candidate | None, str]:
    """A layer, or model inside, with what belongs to it; or the reason why it cannot be removed."""
    reason = why_not(node)
    if reason:
        return None, reason
    chain = [node, *_followers(structure.of_node[id(node)], node)]
    kind: Kind = "layer" if structure.inner(node) is None else "model"
    candidate = candidate_of(structure, _name(structure, node), kind, [Cut(each) for each in chain], chain)
    if branch is not None and is_covered(branch.uses, candidate.uses):
        return None, f"it is all of the branch '{branch.name}'"
    return candidate, ""


def why_not(node: Any) -> str:
    """Why a node cannot be bypassed; empty if it can."""
    tensors = {id(tensor): tensor for tensor in data_tensors(node)}
    if len(tensors) != 1:
        return f"it has {len(tensors)} inputs" if tensors else "it has no input tensor"
    if len(node.outputs) != 1:
        return f"it has {len(node.outputs)} outputs"
    given, made = next(iter(tensors.values())), node.outputs[0]
    for before, after in ((tuple(given.shape), tuple(made.shape)), _probe(node, given)):
        if not after:
            return f"whether it keeps the shape {before} is unknown before the model runs"
        if before != after:
            return f"it changes the shape from {before} to {after}"
    return "" if given.dtype == made.dtype else f"it changes the type from {given.dtype} to {made.dtype}"


def _probe(node: Any, given: Any) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
    """The shapes of a node's input and output, with some size for each that is unknown before the model runs."""
    shape = tuple(given.shape)
    if None not in shape[1:]:
        return shape, tuple(node.outputs[0].shape)

    def concrete(leaf: Any) -> Any:
        if not isinstance(leaf, keras.KerasTensor):
            return leaf
        return keras.KerasTensor(
            (leaf.shape[0], *(_SOME if size is None else size for size in leaf.shape[1:])), leaf.dtype
        )

    args, kwargs = keras.tree.map_structure(concrete, (node.arguments.args, node.arguments.kwargs))
    try:
        made = node.operation.compute_output_spec(*args, **kwargs)
    except Exception:  # whatever the backend raises: the layer does not take this size
        return shape, ()
    return tuple(concrete(given).shape), tuple(keras.tree.flatten(made)[0].shape)


def _followers(graph: Graph, node: Any) -> list[Any]:
    """The normalisation, activation and dropout that only this layer's output goes through."""
    found: list[Any] = []
    outputs = {id(tensor) for tensor in graph.outputs}
    while True:
        tensor = node.outputs[0]
        readers = graph.consumers.get(id(tensor), [])
        if id(tensor) in outputs or len(readers) != 1 or not is_follower(readers[0]) or why_not(readers[0]):
            return found
        node = readers[0]
        found.append(node)


def candidate_of(structure: Structure, name: str, kind: Kind, cuts: list[Cut], nodes: list[Any]) -> Candidate:
    """The candidate of these cuts, with what vanishes with these nodes."""
    if kind == "branch" and len(operands(cuts[0].node)) == 2:
        nodes = [*nodes, cuts[0].node]
    vanishing = structure.in_order(structure.with_inner(nodes))
    gone = {id(node) for node in vanishing}
    paths = [structure.path(node) for node in vanishing if isinstance(node.operation, keras.Layer)]
    weights = {
        id(weight): math.prod(weight.shape)
        for node in vanishing
        if structure.inner(node) is None and all(id(use) in gone for use in structure.uses[id(node.operation)])
        for weight in getattr(node.operation, "weights", ())
    }
    return Candidate(
        name=name,
        kind=kind,
        cuts=tuple(cuts),
        nodes=tuple(nodes),
        vanishing=tuple(vanishing),
        uses=_uses(structure, nodes),
        layers=tuple(dict.fromkeys(paths)),
        parameters=sum(weights.values()),
    )


def _rank(structure: Structure, candidates: list[Candidate]) -> list[Candidate]:
    """Marks the candidates that a ratio does not consider, so that no two of the others overlap."""
    holders: dict[int, list[Candidate]] = {}  # for each node the candidates that use it
    for candidate in candidates:
        for node in structure.with_inner(candidate.nodes, shared=True):
            holders.setdefault(id(node), []).append(candidate)
    last = _last_layers(structure)
    reasons: dict[str, str] = {}

    def around(candidate: Candidate) -> list[Candidate]:
        return [each for each in holders.get(id(candidate.cuts[0].node), ()) if each is not candidate]

    branches = [candidate for candidate in candidates if candidate.kind == "branch"]
    for branch in branches:
        for outer in around(branch):
            if outer.kind == "branch" and outer.name != branch.name and not _one_sum(outer, branch):
                reasons.setdefault(outer.name, f"contains the branch '{branch.name}'")
    for candidate in candidates:
        if candidate.kind != "branch":
            ranked = [each for each in around(candidate) if each.kind == "branch" and each.name not in reasons]
            if ranked:
                reasons[candidate.name] = f"part of the branch '{ranked[0].name}'"
            elif id(candidate.cuts[0].node) in last:
                reasons[candidate.name] = "the last layer before an output"
    for candidate in reversed(candidates):  # those inside of others come later
        for outer in around(candidate) if candidate.name not in reasons else ():
            if outer.kind == "model":
                reasons.setdefault(outer.name, f"contains '{candidate.name}'")
    return [dataclasses.replace(each, unranked=reasons.get(each.name, "")) for each in candidates]


def _one_sum(first: Candidate, second: Candidate) -> bool:
    return first.cuts[0].node is second.cuts[0].node


def _last_layers(structure: Structure) -> set[int]:
    """The last layer before each output, and the models that it is in: without it, the output is another thing."""
    found: set[int] = set()

    def search(graph: Graph, tensor: Any) -> None:
        node = graph.producers.get(id(tensor))
        inner = None if node is None else structure.inner(node)
        if node is None:
            return
        if inner is not None:
            found.add(id(node))
            search(inner, inner.outputs[[each is tensor for each in node.outputs].index(True)])
        elif is_layer(node):
            found.add(id(node))
        elif len(set(map(id, data_tensors(node)))) == 1:
            search(graph, data_tensors(node)[0])

    for tensor in structure.graphs[0].outputs:
        search(structure.graphs[0], tensor)
    return found


def _smallest(branches: list[Candidate]) -> dict[int, Candidate]:
    """For each node the smallest branch that it vanishes with."""
    found: dict[int, Candidate] = {}
    for branch in sorted(branches, key=lambda each: -len(each.vanishing)):
        found.update((id(node), branch) for node in branch.vanishing)
    return found


def _uses(structure: Structure, nodes: Iterable[Any]) -> frozenset[tuple[int, ...]]:
    found = []
    for node in nodes:
        inner = structure.inner(node)
        if inner is not None:
            found += [(node, *path) for _, path in structure.walk(inner)]
        else:
            found.append((node,))
    return frozenset(tuple(map(id, path)) for path in found if is_layer(path[-1]))


def _name(structure: Structure, node: Any) -> str:
    uses = structure.uses[id(node.operation)]
    index = next(index for index, use in enumerate(uses) if use is node)
    return structure.path(node) + (f"#{index + 1}" if index else "")


def _can_replace(tensor: Any, total: Any) -> bool:
    """Whether one operand of a sum has the shape and type of the sum, whose sizes may be unknown."""
    pairs = zip(tensor.shape, total.shape, strict=True) if len(tensor.shape) == len(total.shape) else [(0, 1)]
    same = all(size == sum_size or (sum_size is None and size != 1) for size, sum_size in pairs)
    return same and tensor.dtype == total.dtype
