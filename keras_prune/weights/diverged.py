"""What callbacks do where a training diverged: they leave the masks as they are, and let it go on."""

import warnings
from typing import Any

from keras_prune.validation import NotFiniteError
from keras_prune.weights.update import update_masks


class FiniteUpdates:
    """Mask updates of a `fit`, which leave out those from weights or scores that are NaN or infinite, and say so once.

    They raise nothing, so that what watches the loss, such as `keras.callbacks.TerminateOnNaN`, sees that it is NaN.
    """

    def __init__(self) -> None:
        self._said = False
        self.refused = False

    def update(self, *args: Any, **kwargs: Any) -> dict[int, int] | None:
        """`update_masks` with these arguments; None, and `refused`, if the masks are left as they are."""
        try:
            found = update_masks(*args, **kwargs)
        except NotFiniteError as error:
            self.refused = True
            if not self._said:
                self._said = True
                warnings.warn(f"The masks are left as they are until all is finite again. {error}", stacklevel=2)
            return None
        self.refused = False
        return found
