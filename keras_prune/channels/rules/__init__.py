"""How channels flow through each kind of layer: one short rule each, found by the exact class."""

from keras_prune.channels.rules import (
    applications,
    attention,
    convolution,
    dense,
    elementwise,
    movement,
    normalization,
    recurrent,
    wrappers,
)
from keras_prune.channels.rules.registry import find_rule, register_rule

__all__ = [
    "applications",
    "attention",
    "convolution",
    "dense",
    "elementwise",
    "find_rule",
    "movement",
    "normalization",
    "recurrent",
    "register_rule",
    "wrappers",
]
