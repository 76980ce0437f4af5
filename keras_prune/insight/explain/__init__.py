"""`explain`: which weights, channels, heads or layers were removed, and why; as a table and as a page."""

from keras_prune.insight.explain.channels import ExplainedGroup
from keras_prune.insight.explain.explain import explain
from keras_prune.insight.explain.explanation import Explanation
from keras_prune.insight.explain.layers import ExplainedLayer
from keras_prune.insight.explain.weights import ExplainedWeight

__all__ = ["ExplainedGroup", "ExplainedLayer", "ExplainedWeight", "Explanation", "explain"]
