"""Reports on models: sparsity, comparisons, sensitivity, and explanations of what was pruned."""

from keras_prune.insight.comparison.methods import MethodComparison
from keras_prune.insight.comparison.rows import ModelComparison
from keras_prune.insight.explain.explanation import Explanation
from keras_prune.insight.sensitivity.scan import Sensitivity
from keras_prune.insight.summary import SparsitySummary

__all__ = ["Explanation", "MethodComparison", "ModelComparison", "Sensitivity", "SparsitySummary"]
