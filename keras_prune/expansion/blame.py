"""Which custom layers stay whole when what was made of a model computes something else than the model."""

from collections.abc import Iterator, Mapping

import keras

from keras_prune import _keras
from keras_prune.expansion.traced import Traced

Whole = Mapping[int, str]  # by the place of a layer among all layers of the model the reason why it stays whole


class Differs(ValueError):
    """Exception for a model that was written out as something else.

    Args:
        message: What is said if no way helps.
        reason: What differs.
        classes: The custom layers that came apart, class by class, those inside others first; each by its place among
            all layers of the model.
    """

    def __init__(self, message: str, reason: str, classes: list[list[int]]):
        super().__init__(message)
        self._reason, self._classes = reason, classes

    def ways(self) -> Iterator[Whole]:
        """What to try, with the reasons: layers of one class stay whole, then those of 2, 4, 8 ... classes."""
        count = len(self._classes)
        for places in self._classes:
            yield dict.fromkeys(places, self._reason)
        for power in range(1, count.bit_length() + 1):
            together = [place for places in self._classes[: 2**power] for place in places]
            if count > 2 ** (power - 1):
                yield dict.fromkeys(together, self._reason)


def classes_apart(traced: Traced, copy: keras.Model) -> list[list[int]]:
    """The custom layers that came apart, class by class in the order in which their calls ended."""
    places = {id(part): place for place, part in enumerate(_keras.flatten(copy))}
    found: dict[type, dict[int, None]] = {}
    for call in traced.calls:
        if call.layer is not copy and id(call.layer) in places:
            found.setdefault(type(call.layer), {})[places[id(call.layer)]] = None
    return [list(each) for each in found.values()]
