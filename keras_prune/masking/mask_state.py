"""`MaskState`: the base class of what `wrap_pruning` and `cluster_weights` add to a layer."""

import keras


class MaskState(keras.layers.Layer):
    """Layer that holds masks, or clusters, of another layer's weights, but is no part of it. Never called."""
