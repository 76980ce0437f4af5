"""Results of looking at models: what they cost, what was pruned of them and why."""

from keras_prune.insight.comparison.compare import ModelComparison
from keras_prune.insight.comparison.methods import MethodComparison
from keras_prune.insight.explain.explanation import Explanation
from keras_prune.insight.sensitivity.scan import Sensitivity
from keras_prune.insight.summary import SparsitySummary

__all__ = ["Explanation", "MethodComparison", "ModelComparison", "Sensitivity", "SparsitySummary"]
