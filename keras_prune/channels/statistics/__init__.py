"""What is measured on data: gradients, activations, and the loss without a channel. Batches -> a copy of the model ->
`ChannelStatistics`, which the functions in `keras_prune.importance` turn into scores."""

from keras_prune.channels.statistics.channel_statistics import ChannelStatistics
from keras_prune.measurement.activation_stats import ActivationStats

__all__ = ["ActivationStats", "ChannelStatistics"]
