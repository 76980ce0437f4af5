"""Measurements on data: gradients, activations, losses and metrics."""

from keras_prune.measurement.activation_stats import ActivationStats
from keras_prune.measurement.weight_statistics import WeightStatistics

__all__ = ["ActivationStats", "WeightStatistics"]
