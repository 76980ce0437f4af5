"""Unstructured pruning: which weights are pruned, to which sparsity, and in which rounds."""

from keras_prune.weights.iterative import IterativeMagnitude, PruningRound
from keras_prune.weights.prune import prune_weights
from keras_prune.weights.regrowth import SET, Regrowth, RigL
from keras_prune.weights.rewind import RewindPoint, copy_masks

__all__ = [
    "SET",
    "IterativeMagnitude",
    "PruningRound",
    "Regrowth",
    "RewindPoint",
    "RigL",
    "copy_masks",
    "prune_weights",
]
