"""Budgets of the exported `.tflite` file: its bytes, and what a call takes on this machine; and the search for them."""

from collections.abc import Callable, Mapping, Sequence

import keras

import tflite_export
from keras_prune.costs.bisection import lowest
from tflite_export.scratch import temporary_folder

MEASURED = ("bytes", "latency")
PROBES = 7  # models exported and timed in a search: each halves what is left of it


def milliseconds(model: keras.Model) -> float:
    """Milliseconds of one call of the exported file, the median over several."""
    with temporary_folder("keras_prune_") as folder:
        report = tflite_export.export(model, folder / "model.tflite", sparse=False)
        return float(report.timings[0].median_ms)


def file_bytes(model: keras.Model) -> int:
    """Bytes of the exported file, as float32 and not compressed."""
    with temporary_folder("keras_prune_") as folder:
        return tflite_export.export(model, folder / "model.tflite", sparse=False, verify=False).bytes


def meet_measured(
    asked: Mapping[str, float],
    names: Sequence[str],
    original: keras.Model,
    shortest: int,
    longest: int,
    build: Callable[[int], keras.Model],
    received: object,
) -> tuple[int, dict[str, float], Mapping[str, float]]:
    """Return the length of the shortest part of a removal order without which the file is small and fast enough, the
    limits, and what that file has.

    Args:
        asked: By name a fraction of what the original has, or an amount.
        names: Which of them are measured.
        original: The model.
        shortest: The shortest part to try.
        longest: The length of the removal order.
        build: Makes the model without this much of it.
        received: The budget, for the message.

    Raises:
        ValueError: The budget cannot be met; the message says what can.
    """
    measured: dict[int, dict[str, float]] = {}

    def measure(model: keras.Model) -> dict[str, float]:
        return {name: float(milliseconds(model) if name == "latency" else file_bytes(model)) for name in names}

    def at(length: int) -> dict[str, float]:
        if length not in measured:
            measured[length] = measure(build(length))
        return measured[length]

    whole = measure(original) if any(asked[name] < 1 for name in names) else {}
    limits = {name: asked[name] * whole[name] if asked[name] < 1 else asked[name] for name in names}

    def holds(length: int) -> bool:
        return all(at(length)[name] <= limits[name] for name in names)

    if not holds(longest):
        reached = " and ".join(_amount(name, at(longest)[name]) for name in names)
        goal = " and ".join(_amount(name, limits[name]) for name in names)
        raise ValueError(
            f"The budget cannot be met: the file of the smallest model that the limits allow has {reached}. "
            f"Received: {received}, that is {goal} on this machine"
        )
    length = lowest(shortest, longest, holds, PROBES if "latency" in names else None)
    return length, limits, at(length)


def _amount(name: str, value: float) -> str:
    return f"{value:.3g} ms" if name == "latency" else f"{value:,.0f} bytes"
