"""The choice among candidates: which is better, which are as good as the best, and whether a goal is surely met."""

from collections.abc import Iterable, Sequence

from keras_prune.automation.goal import Goal
from keras_prune.automation.pareto import Candidate, ParetoFront
from keras_prune.automation.trend import expected_gain

_SMALLER = 0.05  # what is smaller by less is no news


def holds_surely(front: ParetoFront, candidate: Candidate, bound: float) -> bool:
    """Whether the worse end of a candidate's confidence interval is within the bound too."""
    end = candidate.low if front.higher_is_better else candidate.high
    return end is not None and front.holds(end, bound)


def is_near(front: ParetoFront, candidate: Candidate, bound: float, left: int = 0) -> bool:
    """Whether a candidate is not surely within the bound, and may come to be, by its interval or by its trend.

    The better end of its confidence interval is within the bound, so that chance may have decided; or would be, if more
    epochs gained as much as the last ones did.

    Args:
        front: Has the direction of the metric.
        candidate: The candidate.
        bound: Worst acceptable metric.
        left: Epochs that it may be fine-tuned for. Defaults to 0: only the interval counts.
    """
    sign = 1 if front.higher_is_better else -1
    end = candidate.high if front.higher_is_better else candidate.low
    gain = expected_gain([sign * each for each in candidate.history], left)
    if end is None:  # the interval is unknown, and chance with it
        return gain > 0 and front.holds(candidate.metric + sign * gain, bound)
    return front.holds(end + sign * gain, bound) and not holds_surely(front, candidate, bound)


def most_accurate(front: ParetoFront, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates by their metric, the best first; of equals the one with the smaller cost."""
    return sorted(candidates, key=lambda each: (-front.score(each), each.cost(front.cost)))


def rivals(front: ParetoFront, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the best candidate, and those whose metric is within its confidence interval, two at most in all."""
    best, *others = most_accurate(front, candidates)
    end = best.low if front.higher_is_better else best.high
    return [best, *(each for each in others[:1] if end is not None and front.holds(each.metric, end))]


def best_of(front: ParetoFront, goal: Goal) -> Candidate:
    """Return the best candidate of a search.

    With a budget: the most accurate within it and the bound. Without: the smallest within the bound. If there is none,
    the one within the bound that is nearest to the budget; else the one with the best metric.
    """
    bound = goal.bound(1.0)
    holding = [each for each in front.candidates if front.holds(each.metric, bound)]
    if not holding:
        return most_accurate(front, front.candidates)[0]
    within = [each for each in holding if goal.excess(each) <= 1]
    if within and goal.has_budget:
        return most_accurate(front, within)[0]
    if within:
        return min(within, key=lambda each: (each.cost(front.cost), -front.score(each)))
    return min(holding, key=lambda each: (goal.excess(each), each.cost(front.cost)))


def free(front: ParetoFront, best: Candidate, goal: Goal) -> Candidate | None:
    """Return the smallest candidate that is smaller than the best one, within the bound, and not measurably worse."""
    bound = goal.bound(1.0)
    end = best.low if front.higher_is_better else best.high
    found = [
        each
        for each in front.candidates
        if each.cost(front.cost) < (1 - _SMALLER) * best.cost(front.cost)
        and front.holds(each.metric, bound)
        and front.holds(each.metric, best.metric if end is None else end)
    ]
    return min(found, key=lambda each: each.cost(front.cost), default=None)
