"""Magnitude: large weights matter most (Han et al. 2015, "Learning both weights and connections")."""

import numpy as np


def magnitude(weight: np.ndarray) -> np.ndarray:
    """The absolute value of each weight.

    Args:
        weight: Float array of any shape.

    Returns:
        `|weight|`, of the same shape and type.

    Example:

    ```python
    magnitude(np.array([-2.0, 0.5]))  # [2.0, 0.5]
    ```
    """
    return np.abs(weight)
