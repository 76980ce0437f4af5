"""Removal of whole layers and residual branches: structure -> candidates -> scores -> plan -> rebuilt model."""

from keras_prune.layers.analysis import LayerAnalysis, analyze_layers
from keras_prune.layers.candidates import Candidate
from keras_prune.layers.plan import LayerPlan
from keras_prune.layers.prune import PrunedLayers, prune_layers
from keras_prune.layers.report import CandidateReport, LayerReport

__all__ = [
    "Candidate",
    "CandidateReport",
    "LayerAnalysis",
    "LayerPlan",
    "LayerReport",
    "PrunedLayers",
    "analyze_layers",
    "prune_layers",
]
