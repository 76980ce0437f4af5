"""Numbers in reports."""


def number(count: int | None) -> str:
    """Return a number with commas; a dash if it is unknown."""
    return "-" if count is None else f"{count:,}"


def change(before: int, after: int) -> str:
    """Return a number before and after, and the fraction kept."""
    return f"{before:,} -> {after:,} ({after / max(before, 1):.1%} left)"
