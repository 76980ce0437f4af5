"""`trace`: labels for every tensor of a model, found by applying the rule of each operation in order."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.graph.configurations import reconfigure
from keras_prune.graph.owners import held_variables
from keras_prune.graph.structure import Graph, Structure
from keras_prune.tracing import rules
from keras_prune.tracing.findings import Found
from keras_prune.tracing.labels import Labels, as_labels, collapse, fixed, has_channels, label_shape
from keras_prune.tracing.products import Use
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.settle import settle
from keras_prune.tracing.unknown_products import why_unknown
from keras_prune.tracing.weight_axes import bind_weight_axes
from tflite_export.reporting import Shown


@dataclasses.dataclass
class Trace(Shown):
    """The channels of a model, as far as the rules follow them.

    Args:
        structure: The graphs of the model.
        found: Atoms, bindings and changes.
        tensors: The labels of each tensor, by identity. Of a model that is used twice the labels of one use: they are
            united with those of the other.
        further: The other planes of tensors whose channels lie along several axes, by identity.
        weights: Tensors (by identity) that are weights, or made of weights alone.
        names: The path of each operation in its first use, by identity.
        unknown: Operations without a rule, or whose rule gave up, and the reason.
        given_up: Those whose rule gave up in some use, by identity: they keep their weights in every other.
        unfollowed: Those without a rule, or whose rule gave up, by identity, though no channels reach them.
        reached: The labels that reach those of `unknown` that have no weights.
        uses: Every use of every operation that is no model, as they are computed.
    """

    structure: Structure
    found: Found = dataclasses.field(default_factory=Found)
    tensors: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    further: dict[int, tuple[np.ndarray, ...]] = dataclasses.field(default_factory=dict)
    weights: set[int] = dataclasses.field(default_factory=set)
    names: dict[int, str] = dataclasses.field(default_factory=dict)
    unknown: dict[str, str] = dataclasses.field(default_factory=dict)
    given_up: set[int] = dataclasses.field(default_factory=set)
    unfollowed: set[int] = dataclasses.field(default_factory=set)
    reached: dict[str, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    uses: list[Use] = dataclasses.field(default_factory=list)

    @property
    def model(self) -> keras.Model:
        """The model."""
        return self.structure.model

    def planes(self, tensor: Any) -> tuple[np.ndarray, ...]:
        """All label arrays of a tensor."""
        return self.tensors[id(tensor)], *self.further.get(id(tensor), ())


@dataclasses.dataclass(frozen=True, eq=False)
class _Place:
    """Where in the model a graph is used.

    Args:
        prefix: What the paths of its operations begin with.
        around: The nodes that use the models that it is in, the outermost first.
        times: How often it runs for one sample; None: unknown.
    """

    prefix: str = ""
    around: tuple[Any, ...] = ()
    times: int | None = 1

    def inside(self, node: Any, times: int | None) -> "_Place":
        """That of the model that a node uses."""
        return _Place(f"{self.prefix}{node.operation.name}/", (*self.around, node), times)


def trace(model: keras.Model) -> Trace:
    """Apply the rule of every operation of a Sequential or Functional model, models in it included.

    Args:
        model: A built model. It is only read.

    Returns:
        A `Trace`, its channels united so that every tensor stays a rectangle.
    """
    result = Trace(Structure(model))
    graph = result.structure.graphs[0]
    with _keras.unnoticed():  # rules try layers out, which are made for that
        outputs = _trace_graph(result, graph, [fixed(tensor.shape) for tensor in graph.inputs], _Place())
    result.found.unite_uses()
    bind_weight_axes(result.found)
    _keep_unknown_ties(result)
    for labels in (*outputs, *(plane for tensor in graph.outputs for plane in result.further.get(id(tensor), ()))):
        result.found.atoms.freeze(labels, "model output", override=True)
    further = [plane for planes in result.further.values() for plane in planes]
    result.found.atoms.make_rectangular([*result.tensors.values(), *further])
    _keep_crossed(result)
    _forget_constants(result)
    return result


def _trace_graph(result: Trace, graph: Graph, inputs: list[np.ndarray], place: _Place) -> list[np.ndarray]:
    for tensor, given in zip(graph.inputs, inputs, strict=True):
        earlier = result.tensors.get(id(tensor))
        if earlier is not None:  # used before: it has one input shape
            result.found.atoms.unite(earlier, given, f"model '{place.prefix}' is also used where entries must stay")
    outputs, labels = graph.flow(inputs, lambda node, labels: _trace_node(result, node, labels, place))
    result.tensors.update(labels)
    return outputs


def _trace_node(result: Trace, node: Any, labels: dict[int, np.ndarray], place: _Place) -> list[np.ndarray]:
    operation = node.operation
    name = f"{place.prefix}{operation.name}"
    result.names.setdefault(id(operation), name)  # that of its bindings, too
    tensors = node.arguments.keras_tensors
    inner = _keras.inner_graph(operation)
    if inner is not None:
        return _trace_inner_model(result, node, inner, labels, place)
    shapes = [tuple(tensor.shape) for tensor in tensors], [tuple(tensor.shape) for tensor in node.outputs]
    arguments = keras.tree.map_structure(
        lambda leaf: (
            as_labels(labels[id(leaf)], result.further.get(id(leaf), ()), id(leaf) in result.weights)
            if isinstance(leaf, keras.KerasTensor)
            else leaf
        ),
        (node.arguments.args, node.arguments.kwargs),
    )
    call = RuleContext(result.found, operation, name, arguments, shapes, place.times)
    rule, begin = rules.find_rule(operation) or rules.custom.per_channel, len(result.found.work)

    def note(gave_up: str) -> None:
        work = tuple(result.found.work[begin:])
        result.uses.append(Use(name, (*place.around, node), work, why_unknown(operation, call.kind, work, gave_up)))

    try:
        if id(operation) in result.given_up:
            raise Unsupported("it is also used in an unknown way")
        _check_plain(operation)
        for key, value in call.kwargs.items():
            for leaf in keras.tree.flatten(value) if "mask" in key else ():
                for plane in (leaf, *leaf.further) if isinstance(leaf, Labels) else ():
                    call.freeze(plane, f"{call.kind} uses it as a mask")
        outputs = [settle(*pair) for pair in zip(_as_list(rule(call)), shapes[1], strict=True)]
        _check_copies(result, operation)
    except Unsupported as error:
        reason = f"{call.kind}: {error}"
        result.unfollowed.add(id(operation))
    else:
        note("")
        for plane in call.not_followed():
            call.freeze(plane, f"{call.kind} follows the channels of another axis")
        result.weights.update(id(tensor) for tensor in node.outputs if call.is_weight)
        return [_lay(result, *pair) for pair in zip(node.outputs, outputs, strict=True)]
    note(reason)
    if operation_matters(operation, call):
        result.unknown.setdefault(name, reason)
        if not getattr(operation, "weights", ()):
            result.reached.setdefault(name, []).extend(given for given in call.inputs if has_channels(given))
        result.given_up.add(id(operation))
        _freeze_all(result, call, reason)
    return [fixed(shape) for shape in shapes[1]]


def _lay(result: Trace, tensor: Any, planes: list[np.ndarray]) -> np.ndarray:
    """Notes the labels of a tensor; those along its last axis, which most rules read, come first."""
    planes = [plane for plane in planes if has_channels(plane)] or planes[:1]
    varying = result.found.atoms.varying
    first, *further = sorted(planes, key=lambda plane: varying(plane)[-1:], reverse=True) if planes[1:] else planes
    result.further.pop(id(tensor), None)
    if further:
        result.further[id(tensor)] = tuple(further)
    return first


def _keep_crossed(result: Trace) -> None:
    """Freezes the channels of further planes that came to lie along the axis of others, as where axes were merged."""
    atoms = result.found.atoms
    for tensor, planes in result.further.items():
        taken = set(atoms.varying(result.tensors[tensor]))
        for plane in planes:
            axes = set(atoms.varying(plane))
            if axes & taken:
                atoms.freeze(plane, "its entries lie along the axis of other channels")
            else:
                taken |= axes


def _forget_constants(result: Trace) -> None:
    """Takes out of `unknown` what nothing reaches but constants: no layer makes channels there."""
    atoms = result.found.atoms
    made = np.zeros(len(atoms) + 1, bool)  # FIXED is -1: the last entry
    for _, labels in result.found.minted.values():
        made[atoms.roots(labels)] = True
    for name, reached in result.reached.items():
        if not any(made[atoms.roots(collapse([labels])[0])].any() for labels in reached):
            del result.unknown[name]


def _freeze_all(result: Trace, call: RuleContext, reason: str) -> None:
    """Freezes the channels that reach an operation, and those that its rule made or bound, here or in another use."""
    frozen: list[np.ndarray] = [plane for given in call.inputs for plane in (given, *given.further)]
    if isinstance(call.operation, keras.Layer):
        owners = {id(part) for part in _keras.flatten(call.operation)}
        weights = {id(weight) for weight in call.operation.variables}
        frozen += [atoms for (owner, _), (_, atoms) in result.found.minted.items() if owner in owners]
        frozen += [each.labels for (weight, _), each in result.found.bindings.items() if weight in weights]
    for labels in frozen:
        result.found.atoms.freeze(labels, reason)


def _trace_inner_model(
    result: Trace, node: Any, model: keras.Model, labels: dict[int, np.ndarray], place: _Place
) -> list[np.ndarray]:
    """Goes through a model in the model. Sizes that are known outside may be unknown inside.

    `TimeDistributed` calls it at each step: it sees tensors without the axis of time, which is the one after the batch.
    """
    graph, name, times = result.structure.graph_of(model), f"{place.prefix}{node.operation.name}", place.times
    for tensor in node.arguments.keras_tensors:
        for plane in result.further.get(id(tensor), ()):
            result.found.atoms.freeze(plane, f"Model '{name}' is given channels along several axes")
    first = node.arguments.args[0] if node.arguments.args else node.arguments.kwargs["inputs"]
    passed = keras.tree.flatten(first)
    shapes = [tuple(tensor.shape) for tensor in node.outputs]
    begin = len(result.found.work), len(result.uses)
    in_time = model is not node.operation
    if in_time:
        steps = node.outputs[0].shape[1]
        times = None if times is None or steps is None else times * steps
    inside = place.inside(node, times)
    try:
        if len(passed) != len(graph.inputs) or not all(isinstance(tensor, keras.KerasTensor) for tensor in passed):
            raise Unsupported("it is called on other arguments than its inputs")
        given = [labels[id(tensor)] for tensor in passed]
        if in_time:
            if 1 in result.found.atoms.varying(given[0]):
                raise Unsupported("its channels lie along the axis of time")
            given = [given[0].take(0, axis=1)]
        given = [settle(each, tensor.shape)[0] for each, tensor in zip(given, graph.inputs, strict=True)]
        made = _trace_graph(result, graph, given, inside)
        for tensor in graph.outputs:
            for plane in result.further.get(id(tensor), ()):
                result.found.atoms.freeze(plane, f"Model '{name}' returns channels along several axes")
        if in_time:
            made = [np.expand_dims(each, 1) for each in made]
            _join_uses(result, begin[1], name, inside)
        return [_widen(each, shape) for each, shape in zip(made, shapes, strict=True)]
    except Unsupported as error:
        reason = f"Model '{name}': {error}"
    result.unknown[name] = reason
    del result.found.work[begin[0] :], result.uses[begin[1] :]  # what follows goes through it once more
    for tensor in node.arguments.keras_tensors:
        result.found.atoms.freeze(labels[id(tensor)], reason)
    for each in _trace_graph(result, graph, [fixed(tensor.shape) for tensor in graph.inputs], inside):
        result.found.atoms.freeze(each, reason)
    if in_time:
        _join_uses(result, begin[1], name, inside)
    return [fixed(shape) for shape in shapes]


def _join_uses(result: Trace, begin: int, name: str, inside: _Place) -> None:
    """Joins the uses from `begin` on into one: outside, `TimeDistributed` is one layer."""
    uses = result.uses[begin:]
    work = tuple(part for use in uses for part in use.work)
    result.uses[begin:] = [Use(name, inside.around, work, next((use.unknown for use in uses if use.unknown), ""))]


def _keep_unknown_ties(result: Trace) -> None:
    """Freezes the channels along each axis of a weight that an operation holds too whose rule does not bind this axis,
    or that cannot be made again in other sizes."""
    holders: dict[int, list[Any]] = {}
    for operation in {id(node.operation): node.operation for node in result.structure.nodes}.values():
        for variable in () if _keras.is_graph(operation) else held_variables(operation):
            holders.setdefault(id(variable), []).append(operation)
    for (weight, axis), binding in result.found.bindings.items():
        operations = holders.get(weight, [])
        for operation in operations if len(operations) > 1 else ():
            name = result.names[id(operation)]
            kind = f"{type(operation).__name__} '{name}' shares '{binding.layer}/{binding.name}'"
            if name not in result.found.binders[weight, axis]:
                result.found.atoms.freeze(binding.labels, f"{kind}, and no rule says how it uses the channels")
            elif not _has_configuration(operation):
                result.found.atoms.freeze(binding.labels, f"{kind}, and cannot be made from its configuration")


def _has_configuration(layer: keras.Layer) -> bool:
    try:
        reconfigure(layer, {})
    except ValueError:
        return False
    return True


def _widen(labels: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    try:
        return np.broadcast_to(labels, label_shape(shape))
    except ValueError:
        raise Unsupported("sizes are involved that are unknown before the model runs") from None


def _check_plain(operation: Any) -> None:
    for layer in _keras.flatten(operation) if isinstance(operation, keras.Layer) else ():
        if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
            raise Unsupported("its weights are quantised or computed (LoRA), not plain variables")


def _check_copies(result: Trace, operation: Any) -> None:
    """A layer whose weights follow channels must be made again in other sizes, which takes its configuration."""
    if not isinstance(operation, keras.Layer) or len(result.found.uses[id(operation)]) > 1:
        return
    bound = {weight for weight, _ in result.found.bindings}
    if bound.isdisjoint(id(weight) for weight in operation.variables):
        return
    if not _has_configuration(operation):
        raise Unsupported(
            "other sizes take its configuration, of which it cannot be made: its class must implement `get_config`"
        )


def operation_matters(operation: Any, call: RuleContext) -> bool:
    """Whether a missing rule is reported: the operation has weights, or channels reach it."""
    return bool(getattr(operation, "weights", ())) or any(has_channels(given) for given in call.inputs)


def _as_list(outputs: Any) -> list[np.ndarray]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
