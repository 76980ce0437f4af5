"""Plots of results, with matplotlib (extra `plots`). Each draws on the axes it is given, or on new ones."""

from keras_prune.plots.channels import plot_channels
from keras_prune.plots.comparison import plot_models
from keras_prune.plots.explanation import plot_explanation
from keras_prune.plots.masks import plot_mask
from keras_prune.plots.methods import plot_methods
from keras_prune.plots.pareto import plot_pareto
from keras_prune.plots.ranks import plot_ranks
from keras_prune.plots.reports import (
    plot_autoprune,
    plot_channel_groups,
    plot_cost,
    plot_decisions,
    plot_expansion,
    plot_layer_candidates,
    plot_layer_errors,
    plot_layers,
    plot_report,
)
from keras_prune.plots.scores import plot_scores
from keras_prune.plots.sensitivity import plot_sensitivity
from keras_prune.plots.sparsity import plot_sparsity

__all__ = [
    "plot_autoprune",
    "plot_channel_groups",
    "plot_channels",
    "plot_cost",
    "plot_decisions",
    "plot_expansion",
    "plot_explanation",
    "plot_layer_candidates",
    "plot_layer_errors",
    "plot_layers",
    "plot_mask",
    "plot_methods",
    "plot_models",
    "plot_pareto",
    "plot_ranks",
    "plot_report",
    "plot_scores",
    "plot_sensitivity",
    "plot_sparsity",
]
