"""Random scores: the control that any criterion must beat."""

from collections.abc import Sequence

import numpy as np

from keras_prune.importance.protocols import Unit


class Random:
    """Criterion of random scores, uniform in [0, 1).

    Args:
        seed: One number or several: new instances with the same seed give the same scores. Defaults to None: other
            scores each time.
    """

    def __init__(self, seed: int | Sequence[int] | None = None):
        self._rng = np.random.default_rng(seed)

    def __call__(self, unit: Unit) -> np.ndarray | None:
        return self._rng.random(len(unit.slices())) if unit.makes else None


def drawn_seed() -> int:
    """Draw a seed that follows `keras.utils.set_random_seed`."""
    import keras  # here: the names of the criteria are known without it

    return int(keras.random.randint((), 0, 2**31 - 1))
