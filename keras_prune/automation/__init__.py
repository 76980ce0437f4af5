"""Automatic pruning: from a trained model to the smallest one that keeps its accuracy."""

from keras_prune.automation.autoprune import autoprune
from keras_prune.automation.journal import Decision, Decisions
from keras_prune.automation.pareto import Candidate, ParetoFront
from keras_prune.automation.result import AutopruneResult

__all__ = ["AutopruneResult", "Candidate", "Decision", "Decisions", "ParetoFront", "autoprune"]
