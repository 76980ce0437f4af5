"""The ways in which numbers in a configuration can become smaller: by itself, or several in their ratio."""

import dataclasses
import math
from collections.abc import Mapping

import keras

from keras_prune.channels.composite_rule import Size


@dataclasses.dataclass(frozen=True)
class Steps:
    """Numbers in a configuration as multiples of one count.

    Args:
        units: By key what is multiplied by the count.
        count: The count that they have now.
    """

    units: Mapping[str, int]
    count: int

    @property
    def half(self) -> int:
        """Half of the count, with which the class is made for a trial."""
        return max(1, self.count // 2)

    def entries(self, count: int) -> dict[str, int]:
        """The numbers for another count."""
        return {key: unit * count for key, unit in self.units.items()}


def ways_of(layer: keras.Layer, size: Size) -> list[Steps]:
    """Return how a size of a composite can become smaller, the way to try first at the front; none if it cannot.

    Of several keys all become smaller in their ratio, or the first alone, which remains a multiple of the others.

    Raises:
        ValueError: The configuration has no such number.
    """
    if isinstance(size, str):
        return [Steps({size: 1}, _value(layer, size))]
    values = {key: _value(layer, key) for key in size}
    first, *others = values.values()
    common, multiple = math.gcd(*values.values()), math.lcm(*others)
    ways = [Steps({key: value // common for key, value in values.items()}, common)]
    if first % multiple == 0:
        ways.append(Steps({size[0]: multiple}, first // multiple))
    return [steps for steps in ways if steps.count > 1]


def _value(layer: keras.Layer, key: str) -> int:
    value = layer.get_config().get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"The rule for {type(layer).__name__} (see `register_composite`) names a size that must be a number in its "
            f"configuration. Received: {key}={value!r} of '{layer.name}'"
        )
    return value
