"""The accuracy of a classifier, of Keras and of a file alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_export.errors import ExportError


@dataclass(frozen=True)
class Labels:
    """Classes of samples.

    Attributes:
        classes: For each sample an integer, (samples,).
        width: Length of the one-hot rows; None if they were integers.
    """

    classes: np.ndarray[Any, np.dtype[Any]]
    width: int | None

    def check(self, outputs: Sequence[np.ndarray[Any, np.dtype[Any]]]) -> None:
        """Check the labels against the scores of the Keras model, before anything is converted.

        Raises:
            ValueError: Some are no class of the model.
            ExportError: The outputs are not one array of scores.
        """
        width = self._scores(outputs).shape[1]
        count = max(width, 2)  # one score tells two classes apart
        if self.width not in (None, count):
            raise ValueError(
                f"One-hot `labels` must have as many columns as the model has classes, {count}. "
                f"Received: {self.width} columns"
            )
        _refuse(self.classes >= count, f"`labels` must be classes of the model, from 0 to {count - 1}", self.classes)

    def accuracy(self, outputs: Sequence[np.ndarray[Any, np.dtype[Any]]]) -> float:
        """Return the fraction of the samples whose class has the highest score; of one score, is `score > 0.5`.

        Raises:
            ExportError: The outputs are not one array of scores, (samples, classes).
        """
        scores = self._scores(outputs)
        chosen = scores.argmax(-1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype("int64")
        return float((chosen == self.classes).mean())

    def _scores(self, outputs: Sequence[np.ndarray[Any, np.dtype[Any]]]) -> np.ndarray[Any, np.dtype[Any]]:
        shapes = [output.shape for output in outputs]
        if len(outputs) != 1 or len(shapes[0]) != 2 or shapes[0][0] != len(self.classes):
            raise ExportError(
                f"`labels` are for models with one output of shape (samples, classes), here with {len(self.classes)} "
                f"samples. Received: outputs of shapes {shapes}"
            )
        return outputs[0]


def checked_labels(labels: Any, samples: int | None) -> Labels | None:
    """Return the labels, after a check.

    Args:
        labels: Of the user: integers (samples,) or (samples, 1), or one-hot rows (samples, classes); None: none. Whole
            numbers may be of a floating-point type.
        samples: How many inputs there are; None: none were given.

    Raises:
        ValueError: There are no inputs for them, or they have another length or form.
    """
    if labels is None:
        return None
    given = np.asarray(labels)
    if samples is None:
        raise ValueError(f"`labels` are those of `inputs`. Received: {given.shape} labels with inputs=None")
    if given.ndim not in (1, 2) or len(given) != samples or given.dtype.kind not in "biuf" or not given.size:
        raise ValueError(
            f"`labels` must have shape ({samples},), ({samples}, 1) or ({samples}, classes), and hold numbers. "
            f"Received: shape {given.shape}, dtype {given.dtype}"
        )
    if given.ndim == 2 and given.shape[1] > 1:
        odd = ~np.isin(given, (0, 1)).all(axis=1) | (given.sum(axis=1) != 1)
        _refuse(odd, "rows of `labels` must be one-hot: one 1, else 0", given)
        return Labels(given.argmax(-1), given.shape[1])
    flat = given.reshape(samples).astype("float64" if given.dtype.kind == "f" else "int64")
    _refuse(~np.isfinite(flat) | (flat != np.rint(flat)) | (flat < 0), "`labels` must be integers, from 0 on", flat)
    return Labels(flat.astype("int64"), None)


def _refuse(odd: np.ndarray[Any, np.dtype[Any]], rule: str, labels: np.ndarray[Any, np.dtype[Any]]) -> None:
    if odd.any():
        first = int(odd.argmax())
        raise ValueError(f"{rule[0].upper()}{rule[1:]}. Received: {labels[first]} at {first}, {odd.sum()} such in all")
