"""Rules: how channels flow through each kind of layer, one short function each, found by the exact class."""

from keras_prune.tracing.rules import (
    applications,
    attention,
    axes,
    contraction,
    convolution,
    custom,
    dense,
    elementwise,
    entrywise,
    gates,
    indexing,
    joining,
    movement,
    normalization,
    recurrent,
    reduction,
    wrappers,
)
from keras_prune.tracing.rules.registry import find_rule, register_rule

__all__ = [
    "applications",
    "attention",
    "axes",
    "contraction",
    "convolution",
    "custom",
    "dense",
    "elementwise",
    "entrywise",
    "find_rule",
    "gates",
    "indexing",
    "joining",
    "movement",
    "normalization",
    "recurrent",
    "reduction",
    "register_rule",
    "wrappers",
]
