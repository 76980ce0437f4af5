"""What is measured on data: gradients, activations, and the loss without a channel. Batches -> a copy of the model ->
`Statistics`, which the functions in `keras_prune.importance` turn into scores."""

from keras_prune.channels.measure.statistics import Statistics
from keras_prune.measure.reading import Reading

__all__ = ["Reading", "Statistics"]
