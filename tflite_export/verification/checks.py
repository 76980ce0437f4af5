"""The checks that a converted file must pass before it is written to the user's path."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_export import subprocesses
from tflite_export.errors import ExportError
from tflite_export.keras_models.kernels import Kernel
from tflite_export.limits import Limits
from tflite_export.reader.weight_tables import TensorSparsity
from tflite_export.reporting import Shown
from tflite_export.verification.judgement import check_varies, error_of_spread, same_classes
from tflite_export.verification.same_kernel import fewest

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Sample:
    """Inputs that a file is compared on, and the outputs of Keras.

    Attributes:
        inputs: For each input an array (samples, ...).
        names: Of the outputs.
        expected: Keras's outputs, (samples, ...).
        sizes: How many of them each call takes.
        labelled: For each input the samples that have labels. Defaults to (), no labels.
    """

    inputs: Sequence[Array]
    names: Sequence[str]
    expected: Sequence[Array]
    sizes: Sequence[int]
    labelled: Sequence[Array] = ()


@dataclass(frozen=True)
class OutputCheck(Shown):
    """Difference of one output of a file from Keras's: with XNNPACK or without, whichever is worse.

    Attributes:
        name: Its signature name.
        max_difference: The largest difference, relative to max(1, max|Keras's output|).
        mean_difference: The mean difference, relative to the same.
        error: The root mean squared error, relative to the spread of Keras's outputs from sample to sample: 1 is that
            of a file that ignores its input. None: not to be measured, with one sample, say.
        agreement: The fraction of the samples with Keras's class; None: the output has no probabilities of classes.
    """

    name: str
    max_difference: float
    mean_difference: float
    error: float | None
    agreement: float | None


@dataclass(frozen=True)
class Run:
    """Result of running a file.

    Attributes:
        outputs: How each output differs from Keras's.
        seconds: How long single calls took, by the number of threads.
        memory: By how much loading and running it raised the most memory that a process held, in bytes; 0: unknown.
        labelled: The outputs for the samples with labels.
    """

    outputs: tuple[OutputCheck, ...]
    seconds: dict[int, Array]
    memory: int
    labelled: Sequence[Array]

    @property
    def max_difference(self) -> float:
        """The largest difference of all outputs."""
        return max((each.max_difference for each in self.outputs), default=0.0)

    @property
    def mean_difference(self) -> float:
        """The largest mean difference of an output."""
        return max((each.mean_difference for each in self.outputs), default=0.0)

    @property
    def error(self) -> float | None:
        """The largest error of an output; None if none can be measured."""
        return max((each.error for each in self.outputs if each.error is not None), default=None)

    @property
    def agreement(self) -> float | None:
        """The lowest fraction of samples with Keras's class; None if no output has classes."""
        return min((each.agreement for each in self.outputs if each.agreement is not None), default=None)


def check_finite(values: Sequence[Array], names: Sequence[str], what: str, note: str = "") -> None:
    """Raise an ExportError for NaN and infinity. To call before differences are taken: `nan > tolerance` is false."""
    for name, value in zip(names, values, strict=True):
        finite = np.isfinite(value)
        if not finite.all():
            raise ExportError(
                f"The outputs of {what} must be finite on the inputs of the comparison{note}. "
                f"Received: {np.sum(~finite)} of {np.size(finite)} values of {name!r} are NaN or infinite"
            )


def check_operators(operators: dict[str, int], allow: Collection[str], verify: bool) -> None:
    """Check for custom operators, which LiteRT cannot run; those of TensorFlow are among them ("Flex").

    Raises:
        ExportError: There are some that `allow` does not name, or the file cannot be verified because of them.
    """
    beyond = [name.removeprefix("CUSTOM ") for name in operators if name.startswith("CUSTOM ")]
    refused = [name for name in beyond if ("flex" if name.startswith("Flex") else "custom") not in allow]
    if refused:
        raise ExportError(
            "The file must have LiteRT's builtin operators only, unless `allow` names others. "
            f"Received: {', '.join(refused)} with allow={tuple(allow)}"
        )
    if beyond and verify:
        raise ExportError(
            "LiteRT cannot run operators that are not its own, so that such a file cannot be verified here: pass "
            f"verify=False, and test it in the program that has them. Received: {', '.join(beyond)}"
        )


def check_zeros(
    kernels: Sequence[Kernel],
    found: int,
    weights: Sequence[TensorSparsity],
    values: Callable[[], Sequence[Array | None]] | None = None,
) -> list[str]:
    """Check that a file keeps the zeros of the model's kernels.

    A total, since the converter transposes, splits and concatenates kernels. It multiplies the scale of a
    BatchNormalization that follows into a kernel, which keeps zeros. It stores equal tensors once, so equal
    kernels count once here. All constants of the file count: those that are no kernels make the check less strict.

    The converter also drops kernels that no output depends on, and computes in advance what depends on no input: a
    slice of an embedding of positions, say. Only kernels of which a whole one of the same size is in the file must keep
    their zeros; of several of one size, as few as are there. Where that fails, the values decide: a weight of the same
    size may be another one, which is no kernel of the model.

    Args:
        kernels: Of the model.
        found: How many zeros the file has, in all constants.
        weights: The kernels and embeddings of the file.
        values: Returns their values, None for those that cannot be told. Defaults to None: all are unknown.

    Returns:
        A warning if there are fewer zeros than in the model, since kernels are not in the file as a whole; else none.

    Raises:
        ExportError: Kernels that are in the file have fewer zeros.
    """
    different = list({kernel.values.tobytes(): kernel for kernel in kernels}.values())
    expected = sum(kernel.zeros for kernel in different)
    if found >= expected:
        return []
    unknown: Sequence[Array | None] = [None] * len(weights)
    there = _there(different, weights, unknown)
    if found < _zeros(there) and values is not None:
        there = _there(different, weights, values())
    least = _zeros(there)
    if found < least:
        raise ExportError(
            f"The file must keep the {least:,} zeros of the model's kernels. Received: {found:,} zeros, with kernels "
            f"of {', '.join(dict.fromkeys(kernel.layer for kernel in different if kernel.zeros))}"
        )
    sizes, kept = (Counter(kernel.values.size for kernel in each) for each in (different, there))
    changed = [kernel.layer for kernel in different if sizes[kernel.values.size] > kept[kernel.values.size]]
    return [
        f"{found:,} zeros are in the file, {expected:,} in the model: the converter dropped kernels that no output "
        f"needs, or computed with them in advance (among these: {', '.join(dict.fromkeys(changed))})"
    ]


def _there(
    kernels: Sequence[Kernel], weights: Sequence[TensorSparsity], values: Sequence[Array | None]
) -> list[Kernel]:
    """The kernels that are in the file as a whole, at least: of several that may be, those with the fewest zeros."""
    found = []
    for size in {kernel.values.size for kernel in kernels}:
        same = [kernel for kernel in kernels if kernel.values.size == size]
        constants = [each for tensor, each in zip(weights, values, strict=True) if tensor.elements == size]
        places = fewest([each.values for each in same], [each.zeros for each in same], constants)
        found += [same[place] for place in places]
    return found


def _zeros(kernels: Sequence[Kernel]) -> int:
    return sum(kernel.zeros for kernel in kernels)


def lost_sharing(kernels: Sequence[Kernel], tensors: Sequence[TensorSparsity]) -> list[str]:
    """Return a warning for each kernel with more distinct values in the file than in the model: it compresses worse."""
    lines = []
    for kernel in kernels:
        same_size = [tensor.distinct for tensor in tensors if tensor.elements == kernel.values.size]
        if kernel.is_shared and same_size and min(same_size) > kernel.distinct:
            lines.append(
                f"{kernel.layer}: {kernel.distinct} shared values have become {min(same_size)}: scales per channel do "
                "that, and a BatchNormalization that the converter multiplies into the kernel"
            )
    return lines


def run_file(content: bytes, folder: Path, sample: Sample, tolerance: float, limits: Limits) -> Run:
    """Run the file in a subprocess without TensorFlow and compare its outputs with Keras's.

    Raises:
        ExportError: LiteRT cannot run it within the limits, or its outputs are not those of Keras.
    """
    file, inputs, outputs = folder / "model.tflite", folder / "inputs.npz", folder / "outputs.npz"
    file.write_bytes(content)
    arrays: dict[str, Any] = {f"input_{i}": batch for i, batch in enumerate(sample.inputs)}
    arrays |= {f"labelled_{i}": batch for i, batch in enumerate(sample.labelled)}
    np.savez(inputs, sizes=np.array(sample.sizes), **arrays)
    line = (str(file), str(inputs), str(outputs))
    subprocesses.run("tflite_export.workers.verify", *line, task="the run in LiteRT", limits=limits)
    found: list[OutputCheck] = []
    with np.load(outputs) as archive:
        for mode, where in (("xnnpack", "the file with XNNPACK"), ("plain", "the file without XNNPACK")):
            values = [archive[f"{mode}_{i}"] for i in range(len(sample.names))]
            check_finite(values, sample.names, where)
            for name, value, reference in zip(sample.names, values, sample.expected, strict=True):
                largest, mean = _difference(value, reference, f"{name!r} of {where}", tolerance)
                check_varies(value, reference, f"{name!r} of {where}")
                quality = error_of_spread(value, reference), same_classes(value, reference)
                found.append(OutputCheck(name, largest, mean, *quality))
        seconds = {int(name.removeprefix("seconds_")): archive[name] for name in archive if name.startswith("seconds_")}
        labelled = [archive[name] for name in sorted(archive) if name.startswith("labelled_")]
        count = len(sample.names)  # of each output two, with XNNPACK and without
        worse = tuple(map(_worse, found[:count], found[count:]))
        return Run(worse, seconds, int(archive["memory"]), labelled)


def _worse(one: OutputCheck, other: OutputCheck) -> OutputCheck:
    """The larger differences of two, and the lower agreement."""
    errors = [each for each in (one.error, other.error) if each is not None]
    agreements = [each for each in (one.agreement, other.agreement) if each is not None]
    return OutputCheck(
        one.name,
        max(one.max_difference, other.max_difference),
        max(one.mean_difference, other.mean_difference),
        max(errors, default=None),
        min(agreements, default=None),
    )


def _difference(value: Array, reference: Array, what: str, tolerance: float) -> tuple[float, float]:
    if value.shape != reference.shape:
        raise ExportError(f"The output {what} must have Keras's shape {reference.shape}. Received: {value.shape}")
    reference = reference.astype("float64")
    difference = np.abs(value.astype("float64") - reference)
    size = max(1.0, float(np.abs(reference).max(initial=0.0)))
    relative = float(difference.max(initial=0.0)) / size
    if relative > tolerance:
        raise ExportError(
            f"The output {what} must be within {tolerance:g} of Keras's, relative to max(1, max|Keras's|). "
            f"Received: a difference of {relative:.3g}"
        )
    return relative, float(difference.mean()) / size if difference.size else 0.0
