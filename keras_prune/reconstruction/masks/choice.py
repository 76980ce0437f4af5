"""`Choose`: how a reconstruction asks which weights are kept."""

from collections.abc import Callable

import numpy as np

Choose = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""Function of scores, the mask so far, both arrays (groups, inputs, outputs), and how much of the final sparsity is to
be reached, in (0, 1], that gives the mask (True = kept), in which pruned weights remain pruned."""
