"""Callbacks that watch a model while it is pruned: TensorBoard, and checkpoints at the target sparsity."""

from keras_prune.monitoring.board import PruningBoard
from keras_prune.monitoring.checkpoint import SparseCheckpoint

__all__ = ["PruningBoard", "SparseCheckpoint"]
