"""The trend of a metric over epochs: what those to come gain, if they go on as the last ones did."""

import math
from collections.abc import Sequence


def expected_gain(scores: Sequence[float], left: int) -> float:
    """Return by how much `left` more epochs improve the best score, if each gains as much as the last ones did.

    The last ones are the second half of the epochs so far. They gained the difference of their best score from the best
    one before: of a fine-tuning the best epoch is kept. So epochs that fall or repeat gain nothing, noise counts only
    as far as it is better than all before, and what the first epochs mend of the pruning does not count. Gains mostly
    shrink from epoch to epoch: what is returned is rather too much than too little.

    Args:
        scores: Before the first epoch, and after each: higher is better. NaN is the worst.
        left: Epochs to come.

    Returns:
        The gain, at least 0; of fewer than two epochs 0, nothing can be told; infinity if the first number came late.
    """
    known = [-math.inf if math.isnan(each) else each for each in scores]
    made = len(known) - 1
    if made < 2 or left <= 0:
        return 0.0
    before, best = max(known[: made // 2 + 1]), max(known)
    return 0.0 if best == before else left * (best - before) / (made - made // 2)
