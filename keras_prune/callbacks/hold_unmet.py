"""What a search of `HoldAccuracy` was to find and did not."""

from typing import Any


def unmet(search: Any, held: float, failed: float | None, done: bool) -> str:
    """A sentence that says what was not found; empty if a sparsity holds, known as well as was asked for.

    Args:
        search: The callback.
        held: The highest sparsity that held.
        failed: The lowest one that failed; None if none did.
        done: Whether the search has ended by itself.
    """
    epochs = len(search.decisions)
    judged = [made for made in search.decisions if made.decision in ("held", "failed")]
    if done and not judged:
        return (
            f"HoldAccuracy pruned nothing: the model has a sparsity of {search.sparsity:.4f} already, and "
            f"`max_sparsity={search.max_sparsity}` allows no more."
        )
    if search.baseline is None or not judged:
        return (
            f"Training ended after {epochs} epochs, before HoldAccuracy could decide whether any "
            "sparsity holds: the model is not pruned further. Train for longer than the "
            f"{search.baseline_epochs} epochs of the baseline and `patience={search.patience}`."
        )
    if all(made.decision == "failed" for made in judged):
        lowest = min(made.target for made in judged)
        return (
            f"HoldAccuracy pruned nothing: at no sparsity that was tried, the lowest {lowest:.4f}, was "
            f"{search.monitor} within the bound of {search.bound:.6g}. Allow a larger `max_drop` or more `patience`, "
            "or begin with a smaller `step`."
        )
    if done:
        return ""
    most = "none has failed yet" if failed is None else f"{failed:.4f} does not"
    return (
        f"HoldAccuracy had not finished its search when training ended, after {epochs} epochs: a sparsity of "
        f"{held:.4f} holds, and {most}. Train for longer to find out what lies in between, or above."
    )
