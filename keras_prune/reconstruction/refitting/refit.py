"""Layer by layer, in the order of the graph, what is left of a model is fitted to what the original computed."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.graph.leaf_layers import Weight
from keras_prune.graph.structure import Structure
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable, Step, make_runnable
from keras_prune.reconstruction.refitting.bare_weights import BareWeights
from keras_prune.reconstruction.refitting.counted import Counted, CountedPositions
from keras_prune.reconstruction.refitting.frontier import Frontier
from keras_prune.reconstruction.refitting.inner_fit import Backup, Kepts, OutputsError, restore, restored, use_inside
from keras_prune.reconstruction.refitting.inner_products import InnerProducts, KeptOf, KeptPlaces, all_kept
from keras_prune.reconstruction.refitting.layer_fit import Cut, LayerFit, Settings, Use
from keras_prune.reconstruction.refitting.layer_refit import LayerRefit
from keras_prune.reconstruction.refitting.norm_statistics import recalibrate_both
from keras_prune.reconstruction.refitting.readings import reading_of
from keras_prune.reconstruction.refitting.stand_ins import StandIns
from keras_prune.reconstruction.refitting.step_parts import Part, parts_of
from keras_prune.reconstruction.refitting.tails import Flow
from keras_prune.reporting.progress import track

BATCH_SIZE = 256
_WORSE = "the outputs of the layer would be worse: left as it was"


def compensation_batches(model: keras.Model, data: Any) -> Batches:
    """Return the batches to compensate on, all of which were checked.

    Args:
        model: The original; the smaller model takes the same inputs.
        data: As `Batches` takes it; targets are not needed.

    Raises:
        ValueError: No samples, values that are not finite, or they do not fit the model.
        TypeError: `data` holds no batches, or can be read only once.
    """
    batches = Batches(data, model, with_targets=False, batch_size=BATCH_SIZE)
    for _ in batches:
        pass
    return batches


def count_samples(batches: Batches) -> int:
    """Return the number of samples. All of them are read, so all are checked."""
    return sum(len(keras.tree.flatten(x)[0]) for x, *_ in batches)


def refit(
    original: keras.Model,
    small: keras.Model,
    cut: Cut,
    batches: Batches,
    settings: Settings | None = None,
    kept: KeptOf = all_kept,
    recalibrate: Batches | None = None,
) -> tuple[LayerRefit, ...]:
    """Fit the weights of a smaller model so that it computes what the original does, in place; without training.

    One layer after the other, each on the inputs that it has once those before it were fitted. Layers whose outputs are
    right as they are, because nothing before them changed, are not touched.

    Args:
        original: The original. It is only read.
        small: The smaller model: the same graph, perhaps without some steps, with fewer channels.
        cut: What is kept of the values of a tensor of the original.
        batches: Inputs for both.
        settings: How to fit. Defaults to None: the defaults of `Settings`.
        kept: What is kept of a weight of the original. Defaults to all of it.
        recalibrate: Inputs on which the BatchNormalization statistics of both are estimated first. Defaults to None.

    Returns:
        A record of each layer that was not right, in the order of the graph.
    """
    samples = count_samples(batches)
    before, after = (make_runnable(model, _paths(model), activations_apart=True) for model in (original, small))
    frozen = {id(after.twins[id(each)]) for each in small.variables if not each.trainable and id(each) in after.twins}
    kepts = Kepts(before, original, kept)
    refitter = _Refitter(before, after, cut, settings or Settings(), frozen, kepts)
    if recalibrate is not None:
        pairs = zip(_matches(before.steps, after.steps), after.steps, strict=True)
        refitter.changed |= recalibrate_both(original, before, pairs, kepts, recalibrate)
    found = refitter.run(batches, samples)
    for variable in small.variables:
        twin = after.twins.get(id(variable))
        if twin is not None and id(twin) in refitter.changed:
            variable.assign(np.array(_keras.as_numpy(twin)))
    return found


class _Refitter:
    def __init__(self, before: Runnable, after: Runnable, cut: Cut, settings: Settings, frozen: set[int], kepts: Kepts):
        self._after, self._cut, self._settings = after, cut, settings
        self._values = Frontier(before.model), Frontier(after.model)
        self._frozen, self._kepts = frozen, kepts
        self._matches = _matches(before.steps, after.steps)
        self._targets = StandIns(before, after, self._matches)
        bare = BareWeights(after.steps)
        self._parts = [
            [bare.parts[index]] if index in bare.parts else parts_of(step) for index, step in enumerate(after.steps)
        ]
        self._unread = {
            index
            for index, step in enumerate(after.steps)
            if isinstance(step.operation, keras.layers.Embedding | Weight) and index not in bare.left
        }
        self._holders: dict[int, set[int]] = {}
        for step in after.steps:
            for variable in getattr(step.operation, "variables", ()):
                self._holders.setdefault(id(variable), set()).add(id(step.operation))
        last = {id(step.operation): index for index, step in enumerate(after.steps)}  # the last use of a layer
        self._last = [last[id(step.operation)] for step in after.steps]
        self._flow = Flow(after)
        self._errors: dict[int, OutputsError] = {}
        self._counted: CountedPositions | None = None
        self.changed: set[int] = set()

    def run(self, batches: Batches, samples: int) -> tuple[LayerRefit, ...]:
        ends = [index for index, parts in enumerate(self._parts) if parts and not parts[-1].inside]
        scaled = self._flow.scales(ends)  # fitted with the weights before them
        todo = [
            index
            for index, parts in enumerate(self._parts)
            if parts and self._last[index] == index and id(self._after.steps[index].operation) not in scaled
        ]
        lasts = [self._parts[index][-1] for index in todo]
        todo = self._flow.order(todo, [0 if each.inside else each.view.matrices().shape[1] for each in lasts])
        when = {index: number for number, index in enumerate(todo)}
        self._flow.settled = [when.get(last, -1) for last in self._last]
        if self._values[0].masked:
            parts = [part for index in todo if self._matches[index] is not None for part in self._originals(index)]
            self._counted = CountedPositions(self._values[0].model, parts, batches)
        found = [
            each
            for index in track(todo, len(todo), f"Compensating {len(todo)} layers")
            for each in self._fit_step(index, batches, samples)
        ]
        return (*found, *self._left())

    def _fit_step(self, index: int, batches: Iterable[Any], samples: int) -> list[LayerRefit]:
        """Fits the weights of a layer: together or, if its outputs would be worse, those inside of it one by one."""
        found: dict[int, LayerRefit] = {}

        def fit(*numbers: int) -> list[Backup]:
            fits = [(number, *self._fit(index, number, batches, samples)) for number in numbers]
            found.update((number, row) for number, row, _ in fits if row is not None)
            return [backup for *_, backup in fits if backup is not None]

        inside = [number for number, part in enumerate(self._parts[index]) if part.inside]
        ends = [number for number in range(len(self._parts[index])) if number not in inside]
        inner = fit(*inside)
        backups = inner + fit(*ends)  # which makes up for the rest
        if inner and self._is_worse(index, backups, batches):
            found.clear()
            for number in inside:
                backups = fit(number)
                if backups and self._is_worse(index, backups, batches):
                    row = found[number]
                    found[number] = dataclasses.replace(row, after=row.before, note=_WORSE)
            fit(*ends)
        return list(found.values())

    def _left(self) -> list[LayerRefit]:
        """The layers with fewer channels, or behind missing layers, that cannot be fitted, each once.

        Except those that read no channels.
        """
        found: dict[str, LayerRefit] = {}
        whole = zip(self._after.steps, self._matches, self._targets.changed(), strict=True)
        for index, (step, match, changed) in enumerate(whole):
            if self._parts[index] or index in self._unread:
                continue
            shapes = _shapes(step.operation)
            sliced = match is not None and shapes != _shapes(match.operation)
            if shapes and (sliced or changed):
                note = f"no fit for a {type(step.operation).__name__}: left as {'sliced' if sliced else 'it was'}"
                found[step.path] = LayerRefit(step.path, None, None, None, None, note)
        return list(found.values())

    def _fit(
        self, index: int, number: int, batches: Iterable[Any], samples: int
    ) -> tuple[LayerRefit | None, Backup | None]:
        """Fits one weight; returns its record if it was not right, and its values before if they were changed."""
        step, part = self._after.steps[index], self._parts[index][number]
        view = part.view
        path = self._path(step, part)
        inputs = view.matrices().shape[1] + (view.bias is not None)
        places = self._places(index)
        reason = self._unfit(places, number)
        if reason:
            return LayerRefit(path, inputs, None, None, None, reason), None
        uses = [self._use(place, number) for place in places]
        view = InnerProducts(view) if part.inside else view
        fit = LayerFit(view, uses, *self._values, self._cut, self._settings)
        backup = Backup(fit.variables)
        found = fit.run(batches, samples)
        if found is None:
            return None, None
        if found.changed:
            self.changed |= {id(each) for each in fit.variables}
        few = found.rows < found.inputs
        note = f"fewer rows than inputs ({found.rows} for {found.inputs}): more data would fit it better" if few else ""
        note = note if found.changed else "nothing better was found: left as it was"
        row = LayerRefit(path, found.inputs, found.rows, found.before, found.after, note)
        return row, backup if found.changed else None

    def _path(self, step: Step, part: Part) -> str:
        if isinstance(part.view.layer, Weight):  # the product has a name that nobody chose
            return next(each.path for each in self._after.steps if each.operation is part.view.layer)
        return f"{step.path}/{part.name}" if part.name else step.path

    def _places(self, index: int) -> list[int]:
        """The positions of all uses of a step's layer."""
        layer = self._after.steps[index].operation
        return [place for place, each in enumerate(self._after.steps) if each.operation is layer]

    def _is_worse(self, index: int, backups: Sequence[Backup], batches: Iterable[Any]) -> bool:
        """Whether the outputs of a layer are farther from the original's than with these values, which it then has."""
        layer = self._after.steps[index].operation
        key = id(layer)
        if key not in self._errors:
            places = self._places(index)
            steps = [(self._match(place), self._after.steps[place]) for place in places]
            counted = self._counted_of(index, 0) if len(places) == 1 else None  # of attention: its queries
            with restored(backups):
                self._values[1].forget([layer])
                self._errors[key] = OutputsError(*self._values, steps, self._cut, batches, counted)
            self._values[1].forget([layer])
        error = self._errors[key]
        least = error.value
        if error.measure() <= least:
            return False
        restore(backups)
        self._values[1].forget([layer])
        error.value = least
        return True

    def _use(self, place: int, number: int) -> Use:
        """One use of a weight: what it reads there, and what it is fitted to."""
        step, part = self._after.steps[place], self._parts[place][number]
        if part.inside:
            kept = self._kept(place, number)
            assert kept is not None
            parts = self._originals(place)[number], part
            use = use_inside(*self._values, (self._match(place), step), parts, kept)
            return dataclasses.replace(use, counted=self._counted_of(place, number))
        for sums in (self._settings.sums, False):
            tail = self._flow.tail(place, sums)
            target = self._targets.target(tail)
            if target is not None:
                given = reading_of(self._values[1], step, part)
                return Use(step, tail, target, given, counted=self._counted_of(place, number))
        raise AssertionError(step.path)  # a normalisation that is used once has a match, as the layer has

    def _counted_of(self, place: int, number: int) -> Counted | None:
        """Which positions of what a weight reads count; None for all."""
        originals = self._originals(place) if self._counted is not None else []
        return self._counted.of(originals[number]) if self._counted is not None and number < len(originals) else None

    def _match(self, place: int) -> Step:
        """The same step of the original."""
        match = self._matches[place]
        assert match is not None
        return match

    def _originals(self, place: int) -> list[Part]:
        """The weights of the same step of the original."""
        return parts_of(self._match(place))

    def _kept(self, place: int, number: int) -> KeptPlaces | None:
        """What a weight inside of a layer has of that of the original; None if that has no such weight."""
        originals, part = self._originals(place), self._parts[place][number]
        if [each.name for each in originals] != [each.name for each in self._parts[place]]:
            return None
        return self._kepts.of(originals[number].view.weight, part.view.weight)

    def _unfit(self, places: Sequence[int], number: int) -> str:
        """Why a weight is left as it is; empty if it is fitted."""
        part = self._parts[places[0]][number]
        layer: Any = part.view.layer
        if len(self._holders[id(part.view.weight)]) > 1:
            return "another layer has the same weight"
        if id(part.view.weight) in self._frozen:
            return "not trainable"
        if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
            return "quantised, or with LoRA weights"
        if any(self._matches[place] is None for place in places):
            return "used several times, and another layer is missing"
        if part.inside and any(self._kept(place, number) is None for place in places):
            return "the original has no such weight"
        return ""


def _shapes(operation: Any) -> list[tuple[int, ...]]:
    """The shapes of the kernels of a layer: of its weights except for scales and biases."""
    return [tuple(each.shape) for each in getattr(operation, "weights", ()) if len(each.shape) > 1]


def _matches(before: Sequence[Step], after: Sequence[Step]) -> list[Step | None]:
    """For each step of the smaller model that of the original: of the same path, and the same number of the use.

    Where layers are missing, it is unknown which use of a layer that is used several times is which.
    """
    whole = dict(zip(_keys(before), before, strict=True))
    uses = collections.Counter(step.path for step in before)
    several = len(before) == len(after)
    found = [whole.get(key) if several or uses[key[0]] == 1 else None for key in _keys(after)]
    if not several:
        return found
    return [  # operations may have other names in a copy of older versions of Keras, and stand at the same place
        step if match is None and type(step.operation) is type(own.operation) else match
        for match, step, own in zip(found, before, after, strict=True)
    ]


def _keys(steps: Sequence[Step]) -> list[tuple[str, int]]:
    """What a step is called in both models: its path, and the number of the use."""
    seen: dict[str, int] = {}
    found = []
    for step in steps:
        seen[step.path] = seen.get(step.path, -1) + 1
        found.append((step.path, seen[step.path]))
    return found


def _paths(model: keras.Model) -> dict[int, str]:
    structure = Structure(model)
    return {id(node.operation): structure.path(node) for node in reversed(structure.nodes)}
