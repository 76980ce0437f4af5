"""Any Keras model as one Functional model: its own code runs on symbolic tensors, and leaves a graph."""

from keras_prune.expansion import leaf_rules
from keras_prune.expansion.expand import expand
from keras_prune.expansion.report import ExpandedLayer, Expansion, report
from keras_prune.graph.leaf_layers import AddLoss, InferenceBatchNormalization, RepeatForBatch, Weight

__all__ = [
    "AddLoss",
    "ExpandedLayer",
    "Expansion",
    "InferenceBatchNormalization",
    "RepeatForBatch",
    "Weight",
    "expand",
    "leaf_rules",
    "report",
]
