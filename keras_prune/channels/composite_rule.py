"""`CompositeRule`: which sizes in the configuration of a class can be smaller."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Size = str | tuple[str, ...]  # a key of a configuration, or several whose numbers keep their ratio


@dataclasses.dataclass(frozen=True)
class CompositeRule:
    """What is known of a class.

    Args:
        sizes: The keys of its configuration that are numbers of channels; several together, if they keep their ratio.
        kept: Other sizes, and why they stay as they are.
        also: By (first) key of a size further entries that are written when it is smaller: what was derived from it.
    """

    sizes: tuple[Size, ...]
    kept: Mapping[str, str]
    also: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


Rule = CompositeRule | Callable[[Mapping[str, Any]], CompositeRule]  # of the configuration, perhaps
