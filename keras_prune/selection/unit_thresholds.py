"""Thresholds of the scores of whole units: of channels, and of layers and branches."""

from typing import Any

import numpy as np

from keras_prune.selection.thresholds import MeanThreshold, RelativeThreshold, Threshold, ThresholdRule
from keras_prune.validation import check_number, is_number


def unit_threshold(value: Any) -> ThresholdRule:
    """Return the rule that an argument `threshold` means; a number becomes a `Threshold`.

    Raises:
        ValueError: A negative or infinite number, a schedule, or something else.
    """
    rule = Threshold(check_number(value, "threshold", minimum=0)) if is_number(value) else value
    if not isinstance(rule, Threshold | RelativeThreshold | MeanThreshold):
        raise ValueError(
            "`threshold` must be a number of at least 0, a `RelativeThreshold` or a `MeanThreshold`; a `StdThreshold` "
            f"is for single weights. Received: threshold={value!r}"
        )
    if rule.schedule is not None:
        raise ValueError(
            "A `threshold` must be constant: there is no training step that a schedule could follow. "
            f"Received: threshold={value!r}"
        )
    return rule


def lowest_kept(rule: ThresholdRule, scores: np.ndarray) -> float:
    """The score that units must reach to be kept, among all the scores that are ranked together."""
    return float(rule.limit(scores, scores, 0))


def threshold_text(rule: ThresholdRule) -> str:
    """What is asked, as the end of a sentence: "scores below 0.1 of the largest score"."""
    if isinstance(rule, RelativeThreshold):
        return f"scores below {rule.fraction:g} of the largest score"
    if isinstance(rule, MeanThreshold):
        return f"scores more than {rule.deviations:g} standard deviations below the mean score"
    assert isinstance(rule, Threshold)
    return f"scores below {rule.value:g}"
