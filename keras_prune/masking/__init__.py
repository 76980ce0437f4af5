"""Masks: which weights have them, how they hold while a model trains, and how they are added and stripped."""

from keras_prune.masking.masked_weights import apply_masks, stateless_apply_masks
from keras_prune.masking.prunable import register_prunable
from keras_prune.masking.pruned_model import PrunedModel
from keras_prune.masking.wrapper import PruningWrapper
from keras_prune.masking.wrapping import strip_pruning, stripped_for_export, wrap_pruning
from tflite_export.preparation import register_preparation

# Here, since a model can have masks only if this package was imported: whatever exports it then strips them.
register_preparation(stripped_for_export)

__all__ = [
    "PrunedModel",
    "PruningWrapper",
    "apply_masks",
    "register_prunable",
    "stateless_apply_masks",
    "strip_pruning",
    "wrap_pruning",
]
