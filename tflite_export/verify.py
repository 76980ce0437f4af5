"""The checks that stand between a converted file and its place at the user's path."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export import child
from tflite_export.errors import ExportError

if TYPE_CHECKING:
    import keras

_KERNELS = ("kernel", "embeddings")  # how the names of the weights end that are worth pruning


def check_finite(values: Sequence[np.ndarray], names: Sequence[str], what: str, note: str = "") -> None:
    """To call before any difference is taken: `nan > tolerance` is false."""
    for name, value in zip(names, values, strict=True):
        finite = np.isfinite(value)
        if not finite.all():
            raise ExportError(
                f"The outputs of {what} must be finite on the inputs of the comparison{note}. "
                f"Received: {np.sum(~finite)} of {np.size(finite)} values of {name!r} are NaN or infinite"
            )


def check_operators(operators: dict[str, int]) -> None:
    """Custom operators need code that LiteRT alone does not have; TensorFlow's are among them ("Flex")."""
    custom = [name for name in operators if name.startswith("CUSTOM")]
    if custom:
        raise ExportError(f"The file must have LiteRT's builtin operators only. Received: {', '.join(custom)}")


def check_zeros(model: "keras.Model", found: int) -> None:
    """Checks that the file, with `found` zeros in it, has at least as many as the model's kernels.

    A total, since the converter transposes, splits and concatenates kernels. It multiplies the scale of a
    BatchNormalization that follows into a kernel, which keeps zeros. It stores equal tensors once, so equal
    kernels count once here. All constants of the file count: those that are no kernels make the check milder.
    """
    import keras

    kernels = {}
    for variable in model.weights:
        if variable.name.endswith(_KERNELS) and len(variable.shape) > 1:
            value = keras.ops.convert_to_numpy(variable.value)
            kernels[value.tobytes()] = int(value.size - np.count_nonzero(value))
    expected = sum(kernels.values())
    if found < expected:
        raise ExportError(
            f"The file must keep the {expected:,} zeros of the model's kernels. Received: {found:,} zeros"
        )


def compare(
    content: bytes,
    folder: Path,
    batches: Sequence[np.ndarray],
    names: Sequence[str],
    expected: Sequence[np.ndarray],
    tolerance: float,
) -> tuple[float, list[float]]:
    """Runs the file in a process without TensorFlow and compares.

    Returns:
        The largest relative difference, and the 10th, 50th and 90th percentile of the latency in
        milliseconds.
    """
    file, inputs, outputs = folder / "model.tflite", folder / "inputs.npz", folder / "outputs.npz"
    file.write_bytes(content)
    arrays: dict[str, Any] = {f"input_{i}": batch for i, batch in enumerate(batches)}
    np.savez(inputs, **arrays)
    child.run("tflite_export._verify", str(file), str(inputs), str(outputs), task="the run in LiteRT")
    worst = 0.0
    with np.load(outputs) as archive:
        for mode, where in (("xnnpack", "the file with XNNPACK"), ("plain", "the file without XNNPACK")):
            values = [archive[f"{mode}_{i}"] for i in range(len(names))]
            check_finite(values, names, where)
            for name, value, reference in zip(names, values, expected, strict=True):
                worst = max(worst, _difference(value, reference, f"{name!r} of {where}", tolerance))
        milliseconds = np.percentile(archive["seconds"] * 1e3, (10, 50, 90))
    return worst, milliseconds.tolist()


def _difference(value: np.ndarray, reference: np.ndarray, what: str, tolerance: float) -> float:
    if value.shape != reference.shape:
        raise ExportError(f"The output {what} must have Keras's shape {reference.shape}. Received: {value.shape}")
    reference = reference.astype("float64")
    difference = float(np.abs(value.astype("float64") - reference).max(initial=0.0))
    relative = difference / max(1.0, float(np.abs(reference).max(initial=0.0)))
    if relative > tolerance:
        raise ExportError(
            f"The output {what} must be within {tolerance:g} of Keras's, relative to max(1, max|Keras's|). "
            f"Received: a difference of {relative:.3g}"
        )
    return relative
