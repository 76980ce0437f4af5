"""From a trained model to the smallest one that holds its accuracy, without anybody watching."""

from keras_prune.automation.autoprune import autoprune
from keras_prune.automation.pareto import Candidate, ParetoFront
from keras_prune.automation.result import AutopruneResult

__all__ = ["AutopruneResult", "Candidate", "ParetoFront", "autoprune"]
