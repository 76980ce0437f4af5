"""`compare`: the difference between the outputs of two files, or of a file and its Keras model."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export.limits import TIMEOUT, Limits
from tflite_export.reader import flatbuffer
from tflite_export.reader.weight_tables import shape_text
from tflite_export.reporting import Bars, Report, Shown, Table
from tflite_export.runtime.litert import run

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class OutputDifference(Shown):
    """Difference of one output.

    Attributes:
        name: Its name, in the first of the two where both have one.
        shape: Its shape, all samples together.
        max: The largest absolute difference; NaN if a value is NaN.
        mean: The mean absolute difference.
        largest: The largest absolute value of the first, for scale.
        agreement: The fraction of the cases in which both have their largest value at the same place of the last
            axis; None if that axis has one entry only.
    """

    name: str
    shape: tuple[int, ...]
    max: float
    mean: float
    largest: float
    agreement: float | None


@dataclass(frozen=True)
class Comparison(Report):
    """Report of the differences between two models.

    Attributes:
        a: The first file, or the name of the Keras model.
        b: The second.
        samples: How many samples both were run on.
        outputs: The differences, one for each output.
    """

    a: str
    b: str
    samples: int
    outputs: tuple[OutputDifference, ...]

    @property
    def max(self) -> float:
        """The largest absolute difference of all outputs; NaN if a value is NaN."""
        return float(np.max([output.max for output in self.outputs]))

    def _tables(self) -> list[Table]:
        headings = ("Output", "Shape", "Max difference", "Mean difference", "Largest value", "Same argmax")
        rows = [
            (
                output.name,
                shape_text(output.shape),
                f"{output.max:.3g}",
                f"{output.mean:.3g}",
                f"{output.largest:.3g}",
                "-" if output.agreement is None else f"{output.agreement:.2%}",
            )
            for output in self.outputs
        ]
        return [Table(headings, rows, self._title())]

    def _facts(self) -> Mapping[str, Any]:
        return {**super()._facts(), "max": self.max}

    def _bars(self) -> Bars:
        names = [output.name or f"output {place}" for place, output in enumerate(self.outputs)]
        values = {
            "maximum": [output.max for output in self.outputs],
            "mean": [output.mean for output in self.outputs],
        }
        return Bars(self._title(), "absolute difference", names, values)

    def _title(self) -> str:
        return f"{self.a} and {self.b}, {self.samples:,} samples"


def compare(
    a: "str | os.PathLike[str] | keras.Model",
    b: "str | os.PathLike[str] | keras.Model",
    data: Any,
    *,
    timeout: float | None = TIMEOUT,
    memory_limit: int | None = None,
) -> Comparison:
    """Run two `.tflite` files, or a file and a Keras model, on the same data and compare the outputs.

    Quantized inputs and outputs take and give real numbers, as in `predict`, so that an int8 file compares
    with a float32 one. Outputs are matched by name if both files name them alike, else by order.

    Args:
        a: A file or a built Keras model, with which the other is compared.
        b: The other.
        data: Real numbers, (samples, ...), as `predict` takes them.
        timeout: Seconds that a file may take, as in `predict`. Defaults to 120.
        memory_limit: Bytes that a file may take, as in `predict`. Defaults to None: the memory of the machine.

    Returns:
        The largest and the mean absolute difference of each output, and how often both choose the same class.

    Raises:
        ValueError: A file is damaged or cannot be run within the limits, the data does not fit, or the outputs
            differ in number or shape.
        ImportError: ai-edge-litert is not installed.

    Example:

    ```python
    import keras
    import numpy as np
    import tflite_export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    tflite_export.export(model, "model.tflite")
    print(tflite_export.compare(model, "model.tflite", np.random.rand(50, 8).astype("float32")))
    ```
    """
    limits = Limits.checked(timeout, memory_limit)
    (names, first), (others, second) = _outputs(a, data, limits), _outputs(b, data, limits)
    if len(first) != len(second):
        raise ValueError(f"Both must have as many outputs. Received: {len(first)} and {len(second)}")
    if set(names) == set(others) and len(set(names)) == len(names):
        second = [second[others.index(name)] for name in names]
    names = [name or other for name, other in zip(names, others, strict=True)]
    differences = []
    for name, x, y in zip(names, first, second, strict=True):
        if x.shape != y.shape:
            raise ValueError(f"The outputs {name!r} must have the same shape. Received: {x.shape} and {y.shape}")
        differences.append(_difference(name, x.astype("float64"), y.astype("float64")))
    return Comparison(_name(a), _name(b), len(first[0]), tuple(differences))


def _outputs(model: Any, data: Any, limits: Limits) -> tuple[list[str], list[np.ndarray]]:
    if isinstance(model, str | os.PathLike):
        return flatbuffer.read(flatbuffer.load(model)).names()[1], run(model, data, limits=limits)
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(f"Both must be a path to a .tflite file or a keras.Model. Received: {model!r}")
    outputs = [np.asarray(output) for output in keras.tree.flatten(model.predict(data, verbose=0))]
    return [""] * len(outputs), outputs


def _name(model: Any) -> str:
    return os.path.basename(model) if isinstance(model, str | os.PathLike) else f"the Keras model {model.name}"


def _difference(name: str, first: np.ndarray, second: np.ndarray) -> OutputDifference:
    apart = np.abs(first - second)
    same = None
    if first.ndim and first.shape[-1] > 1:
        same = float(np.mean(first.argmax(-1) == second.argmax(-1)))
    largest = float(np.abs(first).max())
    return OutputDifference(name, first.shape, float(apart.max()), float(apart.mean()), largest, same)
