"""Multiply-accumulates of a model before and after pruning, as far as they are known."""

import dataclasses
from collections.abc import Mapping

from keras_prune.costs.counting import Costs
from keras_prune.reporting.numbers import change, number
from keras_prune.tracing.kept_channels import Kept
from tflite_export.reporting import Shown

_NAMES = 3  # of one reason in a line


@dataclasses.dataclass(frozen=True)
class MacsChange(Shown):
    """Multiply-accumulates (MACs) of a forward pass of one sample, before and after pruning. Its `str` says both.

    Kernels and attention count, not biases, normalisation, activations and pooling. The MACs of an operation without a
    rule are unknown, and so are those of tensors of unknown sizes: `cost` counts in the same way.

    Args:
        before: MACs of the original model; None if those of some operation are unknown.
        after: MACs of the smaller model, likewise.
        saved: The difference. It may be known where the whole is not, since an operation without a rule is kept as it
            is; None if it is unknown too.
        known_before: MACs of those operations of the original of which they are known.
        known_after: MACs of those operations of the smaller model, likewise.
        unknown: Why the MACs of the other operations are unknown, by path of the operation in the original.
    """

    before: int | None
    after: int | None
    saved: int | None
    known_before: int
    known_after: int
    unknown: Mapping[str, str]

    def __str__(self) -> str:
        if self.before is not None and self.after is not None:
            return change(self.before, self.after)
        text = "unknown" if self.after is None else f"unknown -> {number(self.after)}"
        text += f", {self.saved:,} fewer" if self.saved else ""
        return text + (f"; of the others {change(self.known_before, self.known_after)}" if self.known_before else "")


class ReportedMacs:
    """Properties of a report that has a `MacsChange` as its field `macs`."""

    macs: MacsChange

    @property
    def macs_before(self) -> int | None:
        """Multiply-accumulates of the original model; None if those of some operation are unknown."""
        return self.macs.before

    @property
    def macs_after(self) -> int | None:
        """Multiply-accumulates of the smaller model, likewise."""
        return self.macs.after


def macs_change(before: Costs, whole: Kept, after: Costs, kept: Kept) -> MacsChange:
    """Return the MACs of a model before and after pruning.

    Args:
        before: Counts them in the original.
        whole: What is kept there: everything.
        after: Counts them in the smaller model; the same, or of some of the same uses of its operations.
        kept: What is kept there.
    """
    known = before.known_macs(whole), after.known_macs(kept)
    others_stay = before.unknown_sizes(whole) == after.unknown_sizes(kept)
    return MacsChange(
        before=before.macs(whole),
        after=after.macs(kept),
        saved=known[0] - known[1] if others_stay else None,
        known_before=known[0],
        known_after=known[1],
        unknown=before.unknown,
    )


def unknown_macs_notes(unknown: Mapping[str, str]) -> list[str]:
    """Lines for a report: of which operations the MACs are unknown, and why. Empty if of none."""
    return ["MACs are unknown for:", *(f"  {line}" for line in unknown_macs(unknown))] if unknown else []


def unknown_macs(unknown: Mapping[str, str]) -> list[str]:
    """The reasons, each with its operations: all of them, or the first of many."""
    paths: dict[str, list[str]] = {}
    for path, text in unknown.items():
        kind, _, reason = text.partition(f"'{path}': ")  # "Lambda 'scale': no rule for this class"
        paths.setdefault(reason or text, []).append(f"{kind if reason else ''}'{path}'")
    return [f"{_some(names)}: {reason}" for reason, names in paths.items()]


def _some(names: list[str]) -> str:
    text = ", ".join(names[:_NAMES])
    return text if len(names) <= _NAMES else f"{text} and {len(names) - _NAMES} more"
