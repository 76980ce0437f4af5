"""The accuracy of a classifier, of Keras and of a file alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_export.errors import ExportError


@dataclass(frozen=True)
class Labels:
    """Classes of samples, of shape (samples,)."""

    classes: np.ndarray[Any, np.dtype[Any]]

    def accuracy(self, outputs: Sequence[np.ndarray[Any, np.dtype[Any]]]) -> float:
        """Return the fraction of the samples whose class has the highest score; of one score, is `score > 0.5`.

        Raises:
            ExportError: The outputs are not one array of scores, (samples, classes).
        """
        shapes = [output.shape for output in outputs]
        if len(outputs) != 1 or len(shapes[0]) != 2 or shapes[0][0] != len(self.classes):
            raise ExportError(
                f"`labels` are for models with one output of shape (samples, classes), here with {len(self.classes)} "
                f"samples. Received: outputs of shapes {shapes}"
            )
        scores = outputs[0]
        chosen = scores.argmax(-1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype("int64")
        return float((chosen == self.classes).mean())


def checked_labels(labels: Any, samples: int | None) -> Labels | None:
    """Return the labels, after a check.

    Args:
        labels: Of the user: integers (samples,) or (samples, 1), or one-hot rows (samples, classes); None: none.
        samples: How many inputs there are; None: none were given.

    Raises:
        ValueError: There are no inputs for them, or they have another length or form.
    """
    if labels is None:
        return None
    classes = np.asarray(labels)
    if samples is None:
        raise ValueError(f"`labels` are those of `inputs`. Received: {classes.shape} labels with inputs=None")
    if classes.ndim == 2:
        classes = classes.argmax(-1) if classes.shape[1] > 1 else classes[:, 0]
    if classes.ndim != 1 or len(classes) != samples or classes.dtype.kind not in "iuf":
        raise ValueError(
            f"`labels` must have shape ({samples},), ({samples}, 1) or ({samples}, classes), and hold numbers. "
            f"Received: shape {np.shape(labels)}, dtype {classes.dtype}"
        )
    return Labels(classes)
