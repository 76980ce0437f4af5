"""What data tell of a model: batches -> a copy of the model -> gradients and what layers read -> statistics.

`keras_prune.channels.measure` does the same for channels, and shares what is here.
"""
