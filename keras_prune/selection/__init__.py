"""Selections: functions of scores and a target sparsity that give boolean masks (True = kept).

A selection is a plain frozen object and sees no model, only arrays. `Percentile`, `NByM` and `Block` keep a given
number of weights; the thresholds keep all scores that reach a value, and so decide themselves how much is pruned.
"""

from keras_prune.selection.base import Candidate, Selection
from keras_prune.selection.block import LITERT_1X4, LITERT_1X16, Block
from keras_prune.selection.n_by_m import NByM
from keras_prune.selection.percentile import Percentile
from keras_prune.selection.thresholds import MeanThreshold, RelativeThreshold, StdThreshold, Threshold

__all__ = [
    "LITERT_1X4",
    "LITERT_1X16",
    "Block",
    "Candidate",
    "MeanThreshold",
    "NByM",
    "Percentile",
    "RelativeThreshold",
    "Selection",
    "StdThreshold",
    "Threshold",
]
