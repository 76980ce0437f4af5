"""Controllers: pruning that follows how the model does, and loops of pruning and training."""

from keras_prune.controllers.hold import HoldAccuracy
from keras_prune.controllers.iterative import IterativeMagnitude
from keras_prune.controllers.rewind import RewindPoint, copy_masks

__all__ = ["HoldAccuracy", "IterativeMagnitude", "RewindPoint", "copy_masks"]
