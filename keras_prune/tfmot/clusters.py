"""`cluster_weights` of tfmot, by `keras_prune.cluster_weights`."""

import enum
from typing import Any

import keras

from keras_prune import _keras, clustering
from keras_prune.graph.copying import copy_layer
from keras_prune.validation import check_integer


class CentroidInitialization(enum.StrEnum):
    """Where k-means starts, by tfmot's names: `LINEAR` or `DENSITY_BASED`.

    `RANDOM` and `KMEANS_PLUS_PLUS` are taken as `LINEAR`: k-means runs to its end here, from the same start each time.
    """

    LINEAR = "CentroidInitialization.LINEAR"
    RANDOM = "CentroidInitialization.RANDOM"
    DENSITY_BASED = "CentroidInitialization.DENSITY_BASED"
    KMEANS_PLUS_PLUS = "CentroidInitialization.KMEANS_PLUS_PLUS"


class ClusterableLayer:
    """Mixin of a custom layer that names the weights to cluster, which are then also those that can be pruned.

    Example:

    ```python
    class MyDense(keras.layers.Dense, clustering.ClusterableLayer):
        def get_clusterable_weights(self):
            return [("kernel", self.kernel), ("bias", self.bias)]
    ```
    """

    def get_clusterable_weights(self) -> Any:
        """Return a list of (name, variable), one for each weight to cluster."""
        raise NotImplementedError(f"{type(self).__name__} must implement `get_clusterable_weights`")

    def get_prunable_weights(self) -> Any:
        """Return the same by name, as `keras_prune` asks for it."""
        return dict(self.get_clusterable_weights())


def cluster_weights(
    to_cluster: Any,
    number_of_clusters: int,
    cluster_centroids_init: Any = CentroidInitialization.KMEANS_PLUS_PLUS,
    **kwargs: Any,
) -> Any:
    """Return a copy of a model, layer or list of layers whose weights share a few values, also while it trains.

    See `keras_prune.cluster_weights`. The original is left unchanged, and layers without weights are copied as they
    are.

    Args:
        to_cluster: A built model, a layer that is built or knows its `input_shape`, or a list of such layers.
        number_of_clusters: Number of values that an array may have, at least 2.
        cluster_centroids_init: A `CentroidInitialization`. Defaults to `KMEANS_PLUS_PLUS`.
        **kwargs: For a single layer: `input_shape`, without the batch.

    Returns:
        A model that is not compiled, a layer, or a list of layers.

    Raises:
        ValueError: Not such an object, an unbuilt model or layer, fewer than 2 clusters, or nothing to cluster.
        TypeError: Another keyword argument.

    Example:

    ```python
    clustered = clustering.cluster_weights(model, number_of_clusters=8)
    clustered.compile("adam", "mse")
    clustered.fit(x, y)
    plain = clustering.strip_clustering(clustered)
    ```
    """
    return _cluster(to_cluster, number_of_clusters, cluster_centroids_init, False, **kwargs)


def cluster_weights_experimental(
    to_cluster: Any,
    number_of_clusters: int,
    cluster_centroids_init: Any = CentroidInitialization.KMEANS_PLUS_PLUS,
    preserve_sparsity: bool = False,
    cluster_per_channel: bool = False,
    **kwargs: Any,
) -> Any:
    """Return what `cluster_weights` returns, with zeros that are preserved.

    Args:
        to_cluster: As in `cluster_weights`.
        number_of_clusters: As in `cluster_weights`; a preserved zero is not counted.
        cluster_centroids_init: As in `cluster_weights`. Defaults to `KMEANS_PLUS_PLUS`.
        preserve_sparsity: Whether weights that are zero remain zero. Defaults to False.
        cluster_per_channel: Must be False: clusters are those of a whole array. Defaults to False.
        **kwargs: As in `cluster_weights`.

    Returns:
        As `cluster_weights`.

    Raises:
        ValueError: As in `cluster_weights`, and `cluster_per_channel=True`.
        TypeError: Another keyword argument.

    Example:

    ```python
    pruned = sparsity.prune_low_magnitude(model)
    clustered = clustering.experimental.cluster_weights(pruned, 8, preserve_sparsity=True)
    ```
    """
    if cluster_per_channel:
        raise ValueError(
            "Clusters are those of a whole array here, not of each channel: take more of them. "
            f"Received: cluster_per_channel={cluster_per_channel!r}"
        )
    return _cluster(to_cluster, number_of_clusters, cluster_centroids_init, preserve_sparsity, **kwargs)


def _cluster(to_cluster: Any, clusters: int, init: Any, preserve: bool, *, input_shape: Any = None) -> Any:
    try:
        start = "density" if CentroidInitialization(init) is CentroidInitialization.DENSITY_BASED else "linear"
    except ValueError:
        raise ValueError(
            f"`cluster_centroids_init` must be a `CentroidInitialization`. Received: cluster_centroids_init={init!r}"
        ) from None
    check_integer(clusters, "number_of_clusters", 2)
    if isinstance(to_cluster, list) and all(isinstance(layer, keras.Layer) for layer in to_cluster):
        return [_cluster(layer, clusters, init, preserve) for layer in to_cluster]
    if not isinstance(to_cluster, keras.Layer):
        raise ValueError(
            f"`cluster_weights` takes a model, a Keras layer, or a list of layers. Received: to_cluster={to_cluster!r}"
        )
    layer = to_cluster if to_cluster.built else _built(to_cluster, input_shape)
    if not isinstance(layer, keras.Model) and not layer.weights:
        return copy_layer(layer)
    clustered = clustering.cluster_weights(layer, clusters, preserve_zeros=preserve, start=start)
    _keras.copy_input_shape(to_cluster, clustered)
    return clustered


def _built(layer: keras.Layer, input_shape: Any) -> keras.Layer:
    """A copy of the layer, built for the shape that is passed or that it was made with."""
    if isinstance(layer, keras.Model):
        raise ValueError(
            "The model has no weights to cluster yet: call it on data, call `build`, or begin it with `keras.Input`. "
            f"Received: the unbuilt model '{layer.name}'"
        )
    copy = copy_layer(layer)
    _keras.copy_input_shape(layer, copy)
    shape = [] if input_shape is None else [keras.Input(tuple(input_shape))]
    if not keras.Sequential([*shape, copy]).built:
        raise ValueError(
            "The layer has no weights to cluster yet: build it, or pass `input_shape`. "
            f"Received: the unbuilt layer '{layer.name}'"
        )
    return copy
