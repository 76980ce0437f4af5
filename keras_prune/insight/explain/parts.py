"""Parts of an explanation: weight arrays, channel groups or layers."""

from typing import Literal

from keras_prune.insight.explain.channels import ExplainedGroup
from keras_prune.insight.explain.layers import ExplainedLayer
from keras_prune.insight.explain.weights import ExplainedWeight

Kind = Literal["weights", "channels", "layers"]
Part = ExplainedWeight | ExplainedGroup | ExplainedLayer
