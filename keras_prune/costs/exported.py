"""Budgets of latency: what one call of the exported `.tflite` file takes on this machine, and the search for it."""

from collections.abc import Callable

import keras

import tflite_export
from keras_prune.costs.bisection import lowest
from tflite_export.scratch import temporary_folder

PROBES = 7  # models exported and timed in a search: each halves what is left of it


def milliseconds(model: keras.Model) -> float:
    """Milliseconds of one call of the exported file, the median over several."""
    with temporary_folder("keras_prune_") as folder:
        report = tflite_export.export(model, folder / "model.tflite", sparse=False)
        return float(report.timings[0].median_ms)


def meet_latency(
    fraction: float,
    original: keras.Model,
    shortest: int,
    longest: int,
    build: Callable[[int], keras.Model],
    received: object,
) -> int:
    """Return the length of the shortest part of a removal order without which the model is fast enough.

    Args:
        fraction: Of the latency of the original, the most that the smaller model may take.
        original: The model.
        shortest: The shortest part to try.
        longest: The length of the removal order.
        build: Makes the model without this much of it.
        received: The budget, for the message.

    Raises:
        ValueError: The budget cannot be met; the message says what can.
    """
    goal = fraction * milliseconds(original)
    reached = milliseconds(build(longest))
    if reached > goal:
        raise ValueError(
            f"The budget cannot be met: the smallest model that the limits allow takes {reached:.3g} ms. "
            f"Received: {received}, that is {goal:.3g} ms on this machine"
        )
    return lowest(shortest, longest, lambda length: milliseconds(build(length)) <= goal, PROBES)
