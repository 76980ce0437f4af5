"""How much of a budget each layer gets: by measured errors, and dynamic programming."""

from collections.abc import Sequence

import numpy as np

_STEPS = 4096  # parts that a budget is divided into
_PROBES = 16  # of how much may be spent, where several budgets must hold


def distribute(
    errors: Sequence[Sequence[float]],
    fractions: Sequence[float],
    costs: Sequence[Sequence[float]],
    budgets: Sequence[float],
) -> list[float]:
    """How much of each layer is kept so that the sum of errors is least within all budgets.

    Where there are several, a layer costs what it is of the budget that it uses up most. So much less than the whole
    may be spent that all of them hold.

    Args:
        errors: For each layer its error with each of the fractions kept.
        fractions: These fractions, from 1 downwards.
        costs: For each budget what each layer costs as a whole, at least 0.
        budgets: What all layers may cost together.

    Returns:
        The fraction of each layer.

    Raises:
        ValueError: With the smallest fraction of each a budget does not hold.
    """
    whole, limits = np.asarray(costs, np.float64), np.asarray(budgets, np.float64)
    least = whole.sum(axis=1) * fractions[-1]
    if (least > limits * (1 + 1e-9)).any():
        raise ValueError(f"The cheapest options must be within the budget. Received: {least} of {limits}")
    parts = (whole / np.maximum(limits, 1e-300)[:, None]).max(axis=0)
    prices = np.asarray(fractions) * parts[:, None]

    def spent(budget: float) -> list[float]:
        found = spend(errors, prices.tolist(), allocate(errors, prices.tolist(), budget), budget)
        return [min(cost / part, 1.0) if part else 1.0 for cost, part in zip(found, parts, strict=True)]

    if len(limits) == 1:
        return spent(1.0)
    low, high = float(prices[:, -1].sum()), max(float(parts.sum()), 1.0)
    best = [float(fractions[-1])] * len(errors)
    for _ in range(_PROBES):
        middle = (low + high) / 2
        found = spent(middle)
        if (whole @ found <= limits * (1 + 1e-9)).all():
            low, best = middle, found
        else:
            high = middle
    return _topped_up(best, errors, fractions, parts, whole, limits)


def _topped_up(
    found: Sequence[float],
    errors: Sequence[Sequence[float]],
    fractions: Sequence[float],
    parts: np.ndarray,
    costs: np.ndarray,
    limits: np.ndarray,
) -> list[float]:
    """What of the budgets is left goes to one layer after the other, first to that whose error falls most for it.

    Afterwards no layer can have more, whatever the search before it left.
    """
    kept = np.array(found)
    falls = [
        float(np.interp(each, fractions[::-1], list(own)[::-1]) - own[0]) / max(float((1 - each) * part), 1e-300)
        for each, own, part in zip(found, errors, parts, strict=True)
    ]
    for layer in np.argsort(-np.array(falls), kind="stable"):
        left = limits - costs @ kept
        bound = costs[:, layer] > 0
        more = np.min(left[bound] / costs[bound, layer], initial=1.0)
        kept[layer] = min(1.0, kept[layer] + max(more, 0.0))
    return kept.tolist()


def allocate(
    errors: Sequence[Sequence[float]], costs: Sequence[Sequence[float]], budget: float, steps: int = _STEPS
) -> list[int]:
    """Choose one option for each layer so that the sum of errors is least within a budget.

    (As in Frantar and Alistarh 2022, "SPDY: accurate pruning with speedup guarantees".) What options cost above the
    cheapest of their layer is rounded up to whole parts of what is left for that, so that the budget is never exceeded.

    Args:
        errors: For each layer the error of each of its options.
        costs: For each layer the cost of each of its options, at least 0.
        budget: What all of them may cost together.
        steps: In how many parts it is divided. Defaults to 4,096.

    Returns:
        The number of the option of each layer.

    Raises:
        ValueError: The cheapest options cost more than the budget.
    """
    least = sum(min(each) for each in costs)
    if least > budget * (1 + 1e-9) or budget < 0:
        raise ValueError(f"The cheapest options must be within the budget. Received: {least:g} of {budget:g}")
    spare = steps if budget > least else 0
    unit = (budget - least) / steps if spare else 1.0
    base = [min(each) for each in costs]
    best = np.zeros(spare + 1)  # the least error so far of layers that cost at most so many parts
    taken: list[np.ndarray] = []
    for error, cost, low in zip(errors, costs, base, strict=True):
        options = np.full((len(error), spare + 1), np.inf)
        for option, (value, price) in enumerate(zip(error, cost, strict=True)):
            parts = int(np.ceil((price - low) / unit - 1e-9))
            if parts <= spare:
                options[option, parts:] = best[: spare + 1 - parts] + value
        taken.append(np.argmin(options, axis=0))
        best = options.min(axis=0)
    chosen, left = [], spare
    for option_at, cost, low in zip(reversed(taken), reversed(costs), reversed(base), strict=True):
        option = int(option_at[left])
        chosen.append(option)
        left -= int(np.ceil((cost[option] - low) / unit - 1e-9))
    return chosen[::-1]


def spend(
    errors: Sequence[Sequence[float]], costs: Sequence[Sequence[float]], chosen: Sequence[int], budget: float
) -> list[float]:
    """What each layer may cost once the rest of the budget is spent too, where it lowers the errors most.

    Between two options of a layer the error is taken to fall evenly.

    Args:
        errors: For each layer the error of each of its options.
        costs: For each layer the cost of each of its options.
        chosen: The number of the option of each layer.
        budget: What all of them may cost together.

    Returns:
        The cost of each layer. Their sum is the budget, or that of the most expensive options if that is less.
    """
    found = [float(cost[option]) for cost, option in zip(costs, chosen, strict=True)]
    left = budget - sum(found)
    while left > 1e-9 * budget:
        steps = []
        for layer, (error, cost) in enumerate(zip(errors, costs, strict=True)):
            least = found[layer] * (1 + 1e-9)
            above = [(price, value) for price, value in zip(cost, error, strict=True) if price > least]
            if above:
                now = float(np.interp(found[layer], *_rising(cost, error)))
                price, value = min(above)
                steps.append(((now - value) / (price - found[layer]), -layer, price))
        if not steps:
            break
        _, layer, price = max(steps)
        more = min(left, price - found[-layer])
        found[-layer] += more
        left -= more
    return found


def _rising(costs: Sequence[float], errors: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(costs, kind="stable")
    return np.asarray(costs)[order], np.asarray(errors)[order]
