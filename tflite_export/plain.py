"""Models without what only training needs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def plain(model: "keras.Model") -> "keras.Model":
    """The model without masks, the zeros written in; the user's own stays as it is.

    A subclassed model cannot be built anew, and stripping it in place would change the user's. It is taken
    as it is: its masked weights are zero already, and its masks, which no call reads, do not reach a file.
    """
    import keras_prune
    from keras_prune.keras_internals import is_graph

    return keras_prune.strip_pruning(model) if is_graph(model) else model
