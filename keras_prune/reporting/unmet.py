"""Sentences about what was asked for and not reached, and the warning that says them where no report does."""

import sys
import warnings
from collections.abc import Sequence

_LISTED = 3
_PACKAGES = ("keras_prune", "tflite_export", "keras")


def say(sentence: str) -> None:
    """Warn with a sentence, unless it is empty; the warning names the line that called this package, or Keras."""
    if sentence:
        warnings.warn(sentence, UserWarning, stacklevel=_outside())


def _outside() -> int:
    """The stack level, for the caller of this function, of the first line that is not in a package named above."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES:
        level, frame = level + 1, frame.f_back
    return level


def less_than_asked(asked: float, reached: float, of: str, why: str) -> str:
    """A fraction that is below the one that was asked for; "nothing" where it is 0.

    Args:
        asked: The fraction that was asked for.
        reached: The fraction that was reached.
        of: What they are fractions of: "the weights".
        why: A sentence that says why, or what to do.
    """
    if not reached:
        return f"Nothing was pruned: {asked:.2%} of {of} was asked for. {why}"
    return f"Less was pruned than was asked for: {reached:.2%} of {of}, not {asked:.2%}. {why}"


def fewer_than_asked(asked: int, reached: int, what: str, why: str) -> str:
    """The same for numbers of things that are removed: "channels"."""
    if not reached:
        return f"Nothing was removed: {asked:,} {what} were asked for. {why}"
    return f"Less was removed than was asked for: {reached:,} {what}, not {asked:,}. {why}"


def too_early(step: int, begin: int, end: int, sparsity: float, hint: str) -> str:
    """Training that ended before a schedule did, or before it even began."""
    if step < begin:
        when = f"begins at step {begin}: nothing was pruned by it, and the sparsity is {sparsity:.4f}"
    else:
        when = f"does at step {end}: the sparsity is {sparsity:.4f}"
    return f"Training ended at step {step}, before the pruning schedule {when}. {hint}"


def short_list(names: Sequence[str]) -> str:
    """The first few names, and how many others there are."""
    rest = len(names) - _LISTED
    listed = ", ".join(repr(name) for name in names[:_LISTED])
    return f"{listed} and {rest} more" if rest > 0 else listed
