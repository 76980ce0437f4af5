"""Pruning for Keras 3: masks applied while `fit` runs, and channels that really go away; on every backend.

What every pruned model needs is imported at once; all else when its name is first asked for, so that importing this
package costs little.
"""

import importlib
from typing import TYPE_CHECKING, Any

import keras_prune._quiet  # noqa: F401  # first: it decides how Keras is imported
from keras_prune._version import __version__
from keras_prune.callbacks import PruningSchedule
from keras_prune.insight.summary import SparsitySummary, summary
from keras_prune.masks import apply_masks, stateless_apply_masks
from keras_prune.measure.weights import StatisticsOfOne
from keras_prune.prunable import register_prunable
from keras_prune.regrowth import SET, RigL
from keras_prune.schedules import (
    ConstantSparsity,
    CosineDecay,
    ExponentialDecay,
    PolynomialDecay,
    StepDecay,
)
from keras_prune.selection import (
    LITERT_1X4,
    LITERT_1X16,
    Block,
    NByM,
    Percentile,
    RelativeThreshold,
    Selection,
    StdThreshold,
    Threshold,
)
from keras_prune.training import PrunedModel
from keras_prune.update import prune_once
from keras_prune.wrappers import PruningWrapper
from keras_prune.wrapping import strip_pruning, wrap_pruning

if TYPE_CHECKING:
    from keras_prune.automation import AutopruneResult, ParetoFront
    from keras_prune.automation.autoprune import autoprune
    from keras_prune.channels import (
        Budget,
        ChannelImportance,
        IterativePruning,
        analyze_channels,
        prune_channels,
        register_rule,
    )
    from keras_prune.controllers import HoldAccuracy, IterativeMagnitude, RewindPoint, copy_masks
    from keras_prune.depth import analyze_layers, prune_layers
    from keras_prune.insight.compare import ModelComparison, compare
    from keras_prune.insight.cost import ModelCost, cost
    from keras_prune.insight.explain import Explanation, explain
    from keras_prune.insight.methods import MethodComparison, compare_methods
    from keras_prune.insight.sensitivity import Sensitivity, sensitivity
    from keras_prune.legacy import load_legacy
    from keras_prune.monitoring import PruningBoard, SparseCheckpoint
    from keras_prune.sharing.cluster import cluster_weights

_WHEN_ASKED = {
    "automation": ("AutopruneResult", "ParetoFront", "autoprune"),
    "channels": (
        "Budget",
        "ChannelImportance",
        "IterativePruning",
        "analyze_channels",
        "prune_channels",
        "register_rule",
    ),
    "controllers": ("HoldAccuracy", "IterativeMagnitude", "RewindPoint", "copy_masks"),
    "depth": ("analyze_layers", "prune_layers"),
    "insight.compare": ("ModelComparison", "compare"),
    "insight.cost": ("ModelCost", "cost"),
    "insight.explain": ("Explanation", "explain"),
    "insight.methods": ("MethodComparison", "compare_methods"),
    "insight.sensitivity": ("Sensitivity", "sensitivity"),
    "legacy": ("load_legacy",),
    "monitoring": ("PruningBoard", "SparseCheckpoint"),
    "sharing.cluster": ("cluster_weights",),
}
_MODULES = {name: f"{__name__}.{module}" for module, names in _WHEN_ASKED.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "LITERT_1X4",
    "LITERT_1X16",
    "SET",
    "AutopruneResult",
    "Block",
    "Budget",
    "ChannelImportance",
    "ConstantSparsity",
    "CosineDecay",
    "Explanation",
    "ExponentialDecay",
    "HoldAccuracy",
    "IterativeMagnitude",
    "IterativePruning",
    "MethodComparison",
    "ModelComparison",
    "ModelCost",
    "NByM",
    "ParetoFront",
    "Percentile",
    "PolynomialDecay",
    "PrunedModel",
    "PruningBoard",
    "PruningSchedule",
    "PruningWrapper",
    "RelativeThreshold",
    "RewindPoint",
    "RigL",
    "Selection",
    "Sensitivity",
    "SparseCheckpoint",
    "SparsitySummary",
    "StatisticsOfOne",
    "StdThreshold",
    "StepDecay",
    "Threshold",
    "__version__",
    "analyze_channels",
    "analyze_layers",
    "apply_masks",
    "autoprune",
    "cluster_weights",
    "compare",
    "compare_methods",
    "copy_masks",
    "cost",
    "explain",
    "load_legacy",
    "prune_channels",
    "prune_layers",
    "prune_once",
    "register_prunable",
    "register_rule",
    "sensitivity",
    "stateless_apply_masks",
    "strip_pruning",
    "summary",
    "wrap_pruning",
]
