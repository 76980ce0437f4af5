"""Per-layer sparsity by the shapes of the layers."""

import math
from collections.abc import Sequence


def erk(sizes: Sequence[Sequence[int]], sparsity: float) -> list[float]:
    """Return the per-layer sparsities of the Erdős-Rényi-Kernel: large layers get sparser than small ones (Evci et al.
    2020, "Rigging the lottery"; Mocanu et al. 2018).

    The density of a layer is proportional to (inputs + outputs + window sizes) / (inputs · outputs · window sizes), and
    at most 1: what layers have above that is distributed to the others.

    Args:
        sizes: For each layer the number of its inputs, of its outputs, and the sizes of its window.
        sparsity: Sparsity of all layers together, in [0, 1).

    Returns:
        The sparsity of each layer. Together they prune the given fraction of all weights.
    """
    counts = [math.prod(each) for each in sizes]
    raw = [sum(each) / count for each, count in zip(sizes, counts, strict=True)]
    budget = (1 - sparsity) * sum(counts)
    dense: set[int] = set()
    while True:
        rest = [index for index in range(len(sizes)) if index not in dense]
        if not rest:
            break
        left = budget - sum(counts[index] for index in dense)
        scale = left / sum(raw[index] * counts[index] for index in rest)
        over = {index for index in rest if scale * raw[index] > 1}
        if not over:
            break
        dense |= over
    return [0.0 if index in dense else 1 - scale * raw[index] for index in range(len(sizes))]
