"""How good the outputs of a file are: against the spread of Keras's, not against their size.

The two thresholds of the warnings were measured, on a CNN on MNIST (256 test images) and ResNet-8 on CIFAR-10 (96), in
percent of the spread, of the classes that agree, and points of accuracy lost:

| file | error | classes | lost |
|---|---|---|---|
| float16 | 0.0 to 0.3 | 100 | 0 |
| dynamic | 0.1 to 3.2 | 99 to 100 | 0 |
| int8, ranges of 20 to 200 real images | 0.5 to 8.8 | 98 to 100 | 0 to 1 |
| int8, of 3 or 8 times larger ones, CNN | 1.2 to 4.0 | 99 to 100 | 0 |
| int8, of images of half the size, CNN | 11 | 99 | 0 |
| int8, of noise, CNN | 18 | 97 | 2 |
| int8, of one real image, CNN and ResNet-8 | 0.6 and 26 | 100 and 93 | 0 and 7 |
| int8, of images 8 times larger, ResNet-8 | 43 | 82 | 10 |
| int8, of half or less of the size, both | 59 to 94 | 39 to 94 | 6 to 49 |
| int8, of one constant image; of noise, ResNet-8 | 64 to 113 | 7 to 69 | 21 to 87 |

So files that lose nothing have up to 11% and at least 98%, and those that lose 2 points or more have 18% or more.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflite_export.errors import ExportError

Array = np.ndarray[Any, np.dtype[Any]]

_POOR = 0.15  # of the spread: from here on a warning
_SAME = 0.95  # of the classes
_VISIBLE = 0.02  # of the largest output: what varies less may be lost in eight bits
_NEAR = 1.1  # how far beyond the calibrated range inputs may reach
_NARROW = 8  # times narrower than the calibrated range, three of the eight bits are lost


def error_of_spread(value: Array, reference: Array) -> float | None:
    """Return the root mean squared error, relative to how much Keras's outputs differ from sample to sample.

    1 is the error of a file that ignores its input. None where that is no measure: outputs of integers, one sample,
    or samples that all have the same outputs.
    """
    reference = np.atleast_1d(reference)
    if reference.dtype.kind != "f" or len(reference) < 2 or not reference.size:
        return None
    exact = reference.astype("float64")
    spread = float(np.sqrt(np.mean((exact - exact.mean(axis=0)) ** 2)))
    if spread <= 1e-6 * float(np.abs(exact).max()):
        return None
    return float(np.sqrt(np.mean((value.astype("float64") - exact) ** 2))) / spread


def same_classes(value: Array, reference: Array) -> float | None:
    """Return the fraction of samples with the same class; None for outputs that are no probabilities of classes."""
    if reference.ndim != 2 or reference.shape[1] < 2 or reference.dtype.kind != "f" or reference.min() < 0:
        return None
    if np.abs(reference.astype("float64").sum(axis=1) - 1).max() > 1e-2:
        return None
    return float((value.argmax(-1) == reference.argmax(-1)).mean())


def check_varies(value: Array, reference: Array, what: str) -> None:
    """Check that outputs are not the same for all samples, if Keras's are not.

    Raises:
        ExportError: They are, and what is lost is more than a step of eight bits.
    """
    error = error_of_spread(value, reference)
    if error is None or (value != value[:1]).any():
        return
    exact = reference.astype("float64")
    varies = float(np.sqrt(np.mean((exact - exact.mean(axis=0)) ** 2)))
    if varies > _VISIBLE * float(np.abs(exact).max()):
        raise ExportError(
            f"The output {what} must depend on the input, as Keras's does; the ranges of activations may be wrong: "
            "pass real and different inputs, prepared as for training, as `representative_data`. "
            f"Received: the same output for {len(value)} samples"
        )


def warn_of_outputs(error: float | None, agreement: float | None, samples: int) -> list[str]:
    """Return warnings about outputs that are far from Keras's, in words of what they are used for."""
    lines = []
    if error is not None and error > _POOR:
        lines.append(
            f"the error is {error:.0%} of the spread of Keras's outputs (a file that ignores its input has 100%): "
            "measure its accuracy with `labels`, and check the ranges: `representative_data` must be real inputs, "
            "prepared as for training"
        )
    if agreement is not None and agreement < _SAME:
        lines.append(f"only {agreement:.0%} of {samples} samples get the class that Keras gives them")
    return lines


def warn_of_ranges(names: Sequence[str], representative: Sequence[Array], inputs: Sequence[Array] | None) -> list[str]:
    """Return warnings about data for the ranges of activations that cannot show them.

    Args:
        names: Of the inputs.
        representative: For each input the samples on which ranges are measured.
        inputs: For each input the user's own samples of the comparison; None: there are no others.
    """
    lines = []
    if len(representative[0]) == 1:
        lines.append("`representative_data` is a single sample: ranges need some hundred real ones")
    elif all((batch == batch[:1]).all() for batch in representative):
        lines.append("`representative_data` are equal samples: ranges need some hundred different, real ones")
    for name, seen, used in zip(names, representative, inputs or (), strict=False):
        if seen.dtype.kind != "f" or not seen.size:
            continue
        low, high, least, most = (float(each) for each in (seen.min(), seen.max(), used.min(), used.max()))
        middle, half = (low + high) / 2, (high - low) / 2
        received = (
            f"the input {name!r}: from {least:.4g} to {most:.4g}, `representative_data` from {low:.4g} to {high:.4g}"
        )
        if most > middle + _NEAR * half or least < middle - _NEAR * half:
            lines.append(f"values beyond the measured range are cut off: {received}")
        elif most > least and high - low > _NARROW * (most - least):
            lines.append(f"the inputs use a small part of the measured range, so steps are coarse: {received}")
    return lines
