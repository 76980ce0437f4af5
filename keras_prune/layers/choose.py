"""Which candidates are removed: those that are named, or of the lowest scores, for a ratio, budget or threshold."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from keras_prune.costs.budget import Budget, BudgetRow, meet_budget
from keras_prune.layers.analysis import LayerAnalysis
from keras_prune.layers.bypass import Left
from keras_prune.layers.candidates import Candidate, is_covered, is_layer
from keras_prune.layers.rebuild import rebuild
from keras_prune.patterns import check_patterns, matches
from keras_prune.reporting.unmet import fewer_than_asked, short_list
from keras_prune.validation import part


def choose_named(analysis: LayerAnalysis, patterns: Sequence[str]) -> list[Candidate]:
    """Return the candidates that these patterns name: by their own name, or by that of a layer.

    A layer that cannot be removed alone means the smallest branch that it is in. Normalisation, activations and dropout
    are removed with their layer; patterns that match them as well are fine.

    Raises:
        ValueError: A pattern matches nothing, or a layer that cannot be removed; the message says why.
    """
    structure = analysis.structure
    paths = [structure.path(node) for node in structure.nodes]
    names = [candidate.name for candidate in analysis.candidates]
    check_patterns(patterns, list(dict.fromkeys([*names, *paths])), "names")
    chosen: dict[str, Candidate] = {}
    reasons: dict[str, str] = {}
    for node in structure.nodes:
        path = structure.path(node)
        if is_layer(node) and any(matches(pattern, path) for pattern in patterns):
            own = [each for each in analysis.candidates if each.kind != "branch" and each.cuts[0].node is node]
            around = [each for each in analysis.candidates if each.kind == "branch" and node in each.vanishing]
            found = own or sorted(around, key=lambda each: len(each.vanishing))[:1]
            chosen.update((each.name, each) for each in found)
            if not found:
                reasons[path] = analysis.reasons.get(path, "no branch holds it")
    for candidate in analysis.candidates:
        if any(matches(pattern, candidate.name) for pattern in patterns):
            chosen[candidate.name] = candidate
    gone = {structure.path(node) for each in chosen.values() for node in each.vanishing} | set(chosen) | set(reasons)
    for pattern in patterns:
        if not any(matches(pattern, path) for path in gone):
            reasons[pattern] = "it has no weights or is a normalisation, and is removed with the layer before it"
    if reasons:
        lines = "; ".join(f"'{path}': {reason}" for path, reason in reasons.items())
        raise ValueError(f"`names` names what cannot be removed: {lines}. Received: names={list(patterns)}")
    return complete(analysis, chosen.values())


def complete(analysis: LayerAnalysis, chosen: Iterable[Candidate]) -> list[Candidate]:
    """Return the same removal, normalised: a branch without layers is removed, what is inside another is left out."""
    found = {each.name: each for each in chosen}
    for branch in analysis.candidates:
        if branch.kind == "branch" and branch.name not in found:
            gone = {use for each in found.values() for use in each.uses}
            if is_covered(branch.uses, gone):
                found[branch.name] = branch
    vanishing = {name: {id(node) for node in each.vanishing} for name, each in found.items()}

    def is_inside(candidate: Candidate, name: str) -> bool:
        return name != candidate.name and all(id(cut.node) in vanishing[name] for cut in candidate.cuts)

    return [
        each
        for each in analysis.candidates
        if each.name in found and not any(is_inside(each, name) for name in vanishing)
    ]


def what_is_left(analysis: LayerAnalysis, chosen: Iterable[Candidate]) -> Left:
    """Return what is left of the model without these candidates."""
    return Left(analysis.structure, [cut for each in complete(analysis, chosen) for cut in each.cuts])


@dataclasses.dataclass(frozen=True, eq=False)
class LayerQueue:
    """The order of removal: candidates that can be removed one after the other.

    Args:
        candidates: Those of the lowest scores first; of equal ones the last in the model.
        skipped: Why the others cannot be removed after those before them, by name.
    """

    candidates: tuple[Candidate, ...]
    skipped: Mapping[str, str]


def make_queue(analysis: LayerAnalysis, scores: Mapping[str, float]) -> LayerQueue:
    """Return the candidates in order of removal, without those without which there would be no valid model."""
    position = {each.name: index for index, each in enumerate(analysis.candidates)}
    order = sorted(analysis.ranked, key=lambda each: (scores[each.name], -position[each.name]))
    queue: list[Candidate] = []
    skipped: dict[str, str] = {}
    for each in order:
        problem = what_is_left(analysis, [*queue, each]).problem()
        if problem:
            skipped[each.name] = problem
        else:
            queue.append(each)
    return LayerQueue(tuple(queue), skipped)


def choose_by_ratio(analysis: LayerAnalysis, queue: LayerQueue, ratio: float) -> list[Candidate]:
    """Return the first of the queue: this fraction of all candidates that are ranked, rounded down."""
    return complete(analysis, queue.candidates[: part(ratio, len(analysis.ranked))])


def shortfall(analysis: LayerAnalysis, queue: LayerQueue, ratio: float) -> tuple[str, ...]:
    """Return sentences that say how much less can be removed than this ratio of the candidates; none if as much can."""
    asked, found = part(ratio, len(analysis.ranked)), len(queue.candidates)
    if not ratio or 0 < asked <= found:
        return ()
    if not analysis.ranked:
        return ("Nothing was removed: the model has no candidates that a ratio ranks, see `analyze_layers`.",)
    if not asked:
        return (f"Nothing was removed: a ratio of {ratio:g} is less than one of {len(analysis.ranked)} candidates.",)
    why = f"Without {short_list(list(queue.skipped))} as well there would be no valid model: see its state."
    return (fewer_than_asked(asked, found, "candidates", why),)


def choose_by_threshold(
    analysis: LayerAnalysis, queue: LayerQueue, scores: Mapping[str, float], threshold: float
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Return the candidates of the queue that score below a threshold, and sentences that say which were kept though
    they do, or that none does."""
    below = [each for each in queue.candidates if scores[each.name] < threshold]
    held = [name for name in queue.skipped if scores[name] < threshold]
    missed: tuple[str, ...] = ()
    if not analysis.ranked:
        missed = ("Nothing was removed: the model has no candidates that a threshold ranks, see `analyze_layers`.",)
    elif held:
        why = f"Without {short_list(held)} as well there would be no valid model: see its state."
        missed = (fewer_than_asked(len(below) + len(held), len(below), "candidates", why),)
    elif not below:
        name, lowest = min(scores.items(), key=lambda each: each[1])
        missed = (
            f"Nothing was removed: no score is below the threshold {threshold:.4g}; the lowest, that of {name!r}, is "
            f"{lowest:.4g}.",
        )
    return complete(analysis, below), missed


def choose_by_budget(
    analysis: LayerAnalysis, queue: LayerQueue, budget: Budget
) -> tuple[list[Candidate], tuple[BudgetRow, ...]]:
    """Return the shortest part of the queue without which the model is within the budget, and what is reached.

    Raises:
        ValueError: The budget cannot be met; the message says what can.
    """
    structure, costs = analysis.structure, analysis.costs

    def left(length: int) -> Left:
        return what_is_left(analysis, queue.candidates[:length])

    length, rows = meet_budget(
        budget,
        structure.model,
        costs.left(left(0)),
        len(queue.candidates),
        lambda length: costs.left(left(length)),
        lambda length: rebuild(structure, left(length)),
        "Layers that a ratio or budget does not consider can be named: see `analyze_layers`. ",
        costs.unknown,
    )
    return complete(analysis, queue.candidates[:length]), rows
