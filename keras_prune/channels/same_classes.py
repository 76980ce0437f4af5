"""`prune_channels(keep_classes=True)`: the smaller model is of the same class, made from a changed configuration."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.channels.carry_out import PrunedChannels, carry_out_on
from keras_prune.channels.class_sizes import ClassSize, find_sizes, restricted
from keras_prune.channels.composites import composites_of
from keras_prune.channels.groups import ChannelAnalysis, analyze_channels
from keras_prune.channels.limits import Limits
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.remake import remake
from keras_prune.channels.request import ChannelRequest
from keras_prune.expansion.check import check_expanded
from keras_prune.expansion.expand import write_out
from keras_prune.expansion.inputs import InputSpecs
from keras_prune.expansion.report import weights_of
from keras_prune.measurement.batches import Batches
from keras_prune.reporting.unmet import short_list
from keras_prune.tracing.checks import check_model

_SIZES = (8, 2, 32)
_INSTEAD = "Leave `keep_classes` out for a Functional model that is written out, and smaller in more places."


def carry_out(model: keras.Model, request: ChannelRequest) -> PrunedChannels:
    """`prune_channels`, of a model that may have lost channels in earlier steps: see `ChannelRequest.original`."""
    if request.keep_classes:
        return _in_classes(model, request)
    return carry_out_on(analyze_channels(model), request)


def analyze_for(model: keras.Model, request: ChannelRequest) -> ChannelAnalysis:
    """The channels that a request is about: of the model, or of what it must be written out as to keep its class."""
    given = [request.data, request.compensate, request.recalibrate]
    given = [each for each in given if each is not None and not isinstance(each, str)]
    return analyze_channels(_written_out(model, given[0] if given else None) if request.keep_classes else model)


def _in_classes(model: keras.Model, request: ChannelRequest) -> PrunedChannels:
    """The same, but the model that is returned is of the same class.

    Raises:
        ValueError: As `prune_channels`; no class in the model has a rule, no size of one can be smaller, or what the
            smaller class computes is not what the smaller graph does.
        TypeError: As `prune_channels`.
    """
    check_model(model)
    composites = composites_of(model)
    if not composites:
        raise ValueError(
            f"`keep_classes`: {_without_rule(model)} has no rule that says which of its sizes can be smaller (see "
            f"`keras_prune.channels.register_composite`). {_INSTEAD} Received: '{model.name}' of class "
            f"{type(model).__name__}"
        )
    _check_plain(model)
    analysis = analyze_for(model, request)
    sizes, reasons = find_sizes(model, composites, analysis)
    said = "; ".join(f"'{name}': {why}" for name, why in reasons.items())
    if not sizes:
        raise ValueError(
            f"`keep_classes`: no size of these classes can be smaller: {said}. {_INSTEAD} Received: '{model.name}' of "
            f"class {type(model).__name__}"
        )
    names = ", ".join(
        dict.fromkeys(f"{key!r} of {type(size.layer).__name__}" for size in sizes for key in size.steps.units)
    )
    _check_ratios(request.limits, analysis, sizes)
    result = carry_out_on(restricted(analysis, sizes, f"`keep_classes` changes {names} only"), request)
    changes = [(size.layer, size.smaller(_kept(size, result.plan))) for size in sizes]
    small = remake(model, changes)
    _copy(model, small, _smaller_weights(analysis, result.model))
    differs = check_expanded(small, result.model, InputSpecs(result.model, None, None))
    if differs:
        raise ValueError(
            f"`keep_classes`: the class {type(model).__name__} computes something else than the graph of its weights: "
            f"it gives {differs}. {_INSTEAD} Received: '{model.name}'"
        )
    report = dataclasses.replace(
        result.report,
        expanded=(*result.report.expanded, *_lines(changes, reasons)),
        parameters_before=model.count_params(),  # the graph may have constants of the size of its inputs
        parameters_after=small.count_params(),
    )
    given = InputSpecs(analysis.trace.model, None, None).sizes
    followed = {name: [size or 0 for size in given[name]] for name in InputSpecs(model, None, None).open}
    return dataclasses.replace(result, model=small, report=report, sizes=followed)


def _check_plain(model: keras.Model) -> None:
    """Raises if the class, made from its configuration, would have other weights: LoRA and quantisation add them."""
    done = {
        "LoRA": [part.path for part in _keras.flatten(model) if getattr(part, "lora_enabled", False)],
        "quantised weights": [part.path for part in _keras.flatten(model) if getattr(part, "quantization_mode", None)],
    }
    found = [f"{what} in {short_list(paths)}" for what, paths in done.items() if paths]
    if found:
        raise ValueError(
            "`keep_classes` needs plain weights, which its configuration gives to a class: prune before `enable_lora` "
            f"and `quantize`. Received: '{model.name}' with {'; '.join(found)}"
        )


def _written_out(model: keras.Model, data: Any) -> keras.Model:
    """The graph of a model for some size of its inputs, that of the data if there are any: the weights have theirs."""
    sizes = InputSpecs(model, None, None).open
    if sizes and data is not None:
        graph = write_out(model, example=next(iter(Batches(data, model, with_targets=False)))[0])
    else:
        graph = _of_some_size(model, list(sizes))
    _keras.compile_like(model, graph)
    return graph


def _of_some_size(model: keras.Model, names: list[str]) -> keras.Model:
    """The graph for inputs of a small size, where that of these is open: custom code often takes sizes as numbers."""
    for size in _SIZES if names else ():
        try:
            return write_out(model, dict.fromkeys(names, size))
        except ValueError:  # too small or too large: the next one, and at last that of the model, whose error counts
            continue
    return write_out(model)


def _without_rule(model: keras.Model) -> str:
    """The classes that could have one."""
    kinds = [type(layer) for layer in _keras.flatten(model) if not _keras.is_of_keras(type(layer))]
    return ", ".join(dict.fromkeys(kind.__name__ for kind in kinds)) or "the model, of Keras's classes alone,"


def _check_ratios(limits: Limits, analysis: ChannelAnalysis, sizes: Sequence[ClassSize]) -> None:
    """Raises if groups that have one size get different ratios."""
    groups = {group.name: group for group in analysis.groups}
    for size in sizes:
        own = [groups[name] for name in size.groups if limits.has_own(groups[name])]
        found = {limits.own(group) for group in own}
        if own and (len(own) < len(size.groups) or len(found) > 1):
            others = sorted({path for name in size.groups for path in groups[name].producers})
            raise ValueError(
                f"`keep_classes`: `ratios` must give all layers of one size the same: {size.key!r} of "
                f"'{size.layer.name}' is that of {', '.join(others)}. Received: ratios={dict(limits.ratios)}"
            )


def _kept(size: ClassSize, plan: ChannelPlan) -> int:
    counts = {size.channels - len(plan.removed.get(name, ())) for name in size.groups}
    if len(counts) != 1:
        raise ValueError(
            f"`keep_classes`: '{size.layer.name}' has one {size.key!r} for {len(size.groups)} groups of channels, "
            f"which must keep equally many. Received: {sorted(counts)}"
        )
    return counts.pop()


def _smaller_weights(analysis: ChannelAnalysis, graph: keras.Model) -> list[keras.Variable | None]:
    """For each weight of the original that of the smaller graph; None for those that it does not have."""
    whole = analysis.trace.model
    pairs = [
        pair
        for old, new in zip(_keras.flatten(whole), _keras.flatten(graph), strict=True)
        for pair in zip(old.variables, new.variables, strict=True)
    ]
    twins = {id(old): new for old, new in pairs}
    return [twins.get(id(weight)) for weight in weights_of(whole)]


def _copy(model: keras.Model, small: keras.Model, values: Sequence[keras.Variable | None]) -> None:
    """Copies the weights that are kept, and which layers are trainable."""
    for old, new in zip(_keras.flatten(model), _keras.flatten(small), strict=True):
        if old.trainable != new.trainable:
            new.trainable = old.trainable
    for old, new, value in zip(model.weights, small.weights, values, strict=True):
        source = old if value is None else value
        if tuple(source.shape) != tuple(new.shape):
            raise ValueError(
                f"`keep_classes`: the smaller class has a weight '{new.path}' of another shape than the kept channels: "
                f"{tuple(new.shape)}. {_INSTEAD} Received: {tuple(source.shape)}"
            )
        new.assign(source.value)


def _lines(changes: Sequence[tuple[keras.Layer, dict[str, Any]]], reasons: dict[str, str]) -> list[str]:
    """What the report says of the classes."""
    made = [
        f"'{layer.name}' ({type(layer).__name__}) keeps its class, with "
        f"{', '.join(f'{key}={value}' for key, value in entries.items())}"
        for layer, entries in changes
    ]
    return [*made, *(f"'{name}' stays as it is: {why}" for name, why in reasons.items())]
