"""Callbacks of `fit`: they prune while a model trains, and record what is pruned."""

from keras_prune.callbacks.atomic_backup import AtomicBackup
from keras_prune.callbacks.hold_accuracy import HoldAccuracy
from keras_prune.callbacks.pruning_board import PruningBoard
from keras_prune.callbacks.pruning_schedule import PruningSchedule
from keras_prune.callbacks.sparse_checkpoint import SparseCheckpoint

__all__ = ["AtomicBackup", "HoldAccuracy", "PruningBoard", "PruningSchedule", "SparseCheckpoint"]
