"""What became of each layer of a smaller model that was to take over the work of what was removed."""

import dataclasses
from collections.abc import Sequence

from keras_prune.reporting.numbers import number
from tflite_export.reporting import Shown, Table


@dataclasses.dataclass(frozen=True)
class LayerRefit(Shown):
    """One layer of the smaller model, and how near it comes to the original on the data.

    Args:
        layer: Its path; with the name of the weight behind it, where a layer has several.
        inputs: The number of weights, the bias included, that each of its outputs has; None if it cannot be fitted.
        rows: The number of equations for each output: of samples, times places in an image or sequence. None if the
            layer was not fitted.
        before: The error before: the sum of squares of what its outputs are off, relative to that of the outputs of
            the original around their mean (if they are constant: to theirs). None if it was not measured.
        after: The error after, likewise.
        note: What is to be known of it, such as why it was left as it was; empty if nothing.
    """

    layer: str
    inputs: int | None
    rows: int | None
    before: float | None
    after: float | None
    note: str = ""


def refit_table(layers: Sequence[LayerRefit] | None) -> list[Table]:
    """Return the table of a report; none if there are no layers."""
    if not layers:
        return []
    rows = [
        (each.layer, number(each.inputs), number(each.rows), _error(each.before), _error(each.after), each.note)
        for each in layers
    ]
    headings = ("Layer", "Inputs", "Rows", "Error before", "After", "Note")
    return [Table(headings, rows, "Compensated: error of the outputs, relative to their variance")]


def _error(value: float | None) -> str:
    return number(None) if value is None else f"{100 * value:.2f}%"


def refit_notes(layers: Sequence[LayerRefit] | None) -> list[str]:
    """Return what a report says of a compensation that had nothing to do; None: there was none."""
    done = layers is None or len(layers) > 0
    return [] if done else ["Compensated: nothing, for each layer computes what it did on these inputs"]
