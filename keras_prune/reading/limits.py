"""How much memory a file may take: a small one can declare any amount, of fill values or of compressed zeros."""

FLOOR = 1 << 28  # bytes that any file may take
EXPANSION = 100  # a larger file may take this many times its own size
LONGEST_JSON = 1 << 26  # bytes; as Python objects some twenty times as much


def check_expansion(declared: int, stored: int, what: str) -> None:
    """Checks the memory that something needs against the bytes that are stored for it.

    Raises:
        ValueError: It is more than both limits allow.
    """
    limit = max(FLOOR, EXPANSION * stored)
    if declared > limit:
        raise ValueError(f"{what} would take {declared:,} bytes of memory, and its file allows {limit:,}")
