"""The confidence interval of a metric: how far that of other data of the same kind may lie from the measured one."""

import math
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_prune.measurement.evaluation import Evaluation

CONFIDENCE = 0.95
_Z = 1.959963984540054  # of the normal distribution, for this confidence
_BLOCKS = 20
_RESAMPLES = 2000
_WHOLE = 1e-2  # 0.97 in float32, times a number of samples, is nearly a whole number


def confidence_interval(
    evaluation: Evaluation, running: keras.Model, outputs: Any, value: float
) -> tuple[float, float] | None:
    """Return the 95% confidence interval of a metric of given outputs; None where it is unknown.

    Of an accuracy, one answer for each sample, it is that of a binomial distribution (Wilson 1927). Of other metrics it
    is from a bootstrap over blocks of samples: twenty, or as many as there are samples.

    Args:
        evaluation: Has the metric and the data.
        running: A copy of the model that was evaluated before.
        outputs: One array for each output of the model.
        value: The metric of all of them.
    """
    if not math.isfinite(value):
        return None
    if not evaluation.weighted and is_accuracy(evaluation.name, value, evaluation.samples[1], outputs):
        return wilson(value, evaluation.count)
    return bootstrap(value, evaluation.of_parts(running, outputs, _BLOCKS))


def wilson(rate: float, count: int) -> tuple[float, float]:
    """Return the interval of Wilson for a fraction of `count` samples."""
    spread = _Z**2 / count
    middle = (rate + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(rate * (1 - rate) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(value: float, blocks: Sequence[float]) -> tuple[float, float] | None:
    """Return the interval around a metric by the means of its blocks, drawn again with replacement.

    Args:
        value: The metric of all samples.
        blocks: The metric of each block. Those that are not finite do not count: some metrics need both classes.
    """
    known = np.array([each for each in blocks if math.isfinite(each)])
    if len(known) < 2:
        return None
    means = np.random.default_rng(0).choice(known, (_RESAMPLES, len(known))).mean(axis=1)
    below, above = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    widen = math.sqrt(len(known) / (len(known) - 1))  # of few blocks the means vary too little
    return value + widen * float(below - known.mean()), value + widen * float(above - known.mean())


def is_accuracy(name: str, value: float, targets: Any, outputs: Any) -> bool:
    """Whether a metric is the fraction of samples that are right, each with one answer: a label or row of classes."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    answers, made = keras.tree.flatten(targets), keras.tree.flatten(outputs)
    if not words & {"acc", "accuracy"} or len(answers) != len(made):
        return False
    for answer, output in zip(answers, made, strict=True):
        one = int(np.prod(np.shape(answer)[1:])) == 1
        classes = "binary" not in words and len(np.shape(answer)) == 2 == len(np.shape(output))
        if not (one or classes):
            return False
    right = value * len(answers[0])
    return abs(right - round(right)) < min(_WHOLE, 1e-4 + 1e-6 * right)
