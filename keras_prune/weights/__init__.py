"""Unstructured pruning: which weights are pruned, to which sparsity, and in which rounds."""

from keras_prune.weights.iterative import IterativeMagnitude, PruningRound
from keras_prune.weights.layer_errors import LayerCurve, LayerErrors
from keras_prune.weights.measure_errors import layer_errors
from keras_prune.weights.prune import prune_weights
from keras_prune.weights.refit import refit
from keras_prune.weights.regrowth import SET, Regrowth, RigL
from keras_prune.weights.rewind import RewindPoint, copy_masks

__all__ = [
    "SET",
    "IterativeMagnitude",
    "LayerCurve",
    "LayerErrors",
    "PruningRound",
    "Regrowth",
    "RewindPoint",
    "RigL",
    "copy_masks",
    "layer_errors",
    "prune_weights",
    "refit",
]
