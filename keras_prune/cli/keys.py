"""The keys of data in `.npz` files."""

from typing import Literal

Split = Literal["train", "validation", "test"]
# The order of keys: those of this split, those of no split, those of another split.
_ENDINGS = {"train": ("_train", "", "_test"), "validation": ("_val", "", "_test"), "test": ("_test", "", "_train")}


def keys(letter: str, split: Split) -> list[str]:
    """The keys under which inputs (`"x"`) or targets (`"y"`) are looked up, in order."""
    return [letter + ending for ending in _ENDINGS[split]]
