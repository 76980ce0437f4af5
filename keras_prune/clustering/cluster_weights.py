"""`cluster_weights`: a model whose weights share few values, also while it is fine-tuned."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.clustering.kmeans import START, Codebook, kmeans
from keras_prune.masking.masked_weights import find_masked, inner_layer, walk_layers
from keras_prune.masking.prunable import find_prunable
from keras_prune.masking.wrapper import attach_clusters, detach_clusters
from keras_prune.masking.wrapping import add_masks
from keras_prune.patterns import Predicate, as_predicate, check_patterns, matches
from keras_prune.reporting.unmet import say
from keras_prune.validation import check_choice, check_flag, check_integer, check_layer

Clusters = int | Mapping[str, int | None]
_MOST = 2**31 - 1  # assignments are int32


def cluster_weights(
    model: keras.Layer,
    clusters: Clusters = 16,
    *,
    layers: Any = None,
    preserve_zeros: bool = True,
    start: str = "linear",
) -> keras.Layer:
    """Cluster the weights of each array, so that those of a cluster share one value: the second step of Deep
    Compression (Han et al. 2016, "Deep compression: compressing deep neural networks with pruning, trained quantization
    and Huffman coding"). 16 clusters are 4 bits a weight. The `.tflite` file still holds floats, and is smaller once it
    is zipped.

    The result can be fine-tuned: after each step of `fit` or `train_on_batch` the members of a cluster are set to their
    mean, on every backend and with any optimizer. With SGD, a shared value moves by the learning rate times the mean of
    its members' gradients; Deep Compression takes their sum, which needs another learning rate for each number of
    members. The assignment to clusters never changes. In custom training loops, `apply_masks` and
    `stateless_apply_masks` do this, together with the masks. `strip_pruning` gives a plain model with the shared
    values, `summary` counts them.

    The clustered weights get masks too: a pruned weight is in no cluster, and remains zero. Clustered are the weights
    that can be pruned, also in frozen layers, so no biases and no normalisation. A clustered model can be pruned
    further, clusters lose members then; a weight that regrows joins the cluster nearest to zero. Warns if no weight
    shares its value with another then: there are more clusters than values.

    Args:
        model: A built model, with masks or without, or a built layer. As in `wrap_pruning` a copy is returned and the
            model is left unchanged, except that a subclassed model is changed in place. Clusters that it has already
            are replaced.
        clusters: Largest number of clusters of an array, at least 2; a preserved zero is not counted. An array with
            fewer different values keeps them exactly. Or numbers by layer name pattern, such as
            `{"conv*": 32, "dense*": 16}`: the first pattern that matches applies; layers that match none, or one with
            None, are not clustered. Defaults to 16.
        layers: Which layers are clustered, as in `wrap_pruning`. Defaults to None: all.
        preserve_zeros: Whether weights that are exactly zero are masked, as if pruned, and so remain zero. Otherwise
            they are weights like others, except those that a mask prunes already. Defaults to True.
        start: Start of k-means: `"linear"`, values evenly spaced from the lowest to the highest weight, which the paper
            found best, or `"density"`, evenly spaced quantiles. Defaults to `"linear"`.

    Returns:
        The clustered model or layer, not compiled (unless changed in place).

    Raises:
        ValueError: Fewer than 2 clusters, an unknown `start`, a pattern that matches no layer (the message names the
            near misses), a weight that is not finite, an unbuilt model, or nothing that could be clustered.
        TypeError: `model` is no model or layer, or an argument is of another type.

    Example:

    ```python
    shared = cluster_weights(prune_weights(model, 0.5), 16)
    shared.compile("adam", "mse")
    shared.fit(x, y, verbose=0)
    print(summary(shared))
    plain = strip_pruning(shared)
    len(np.unique(plain.layers[0].kernel))  # at most 17
    ```
    """
    check_layer(model)
    if not model.built:
        raise ValueError(f"An unbuilt model or layer has no weights to cluster. Received: '{model.name}', not built")
    _check_clusters(clusters)
    preserve_zeros = check_flag(preserve_zeros, "preserve_zeros")
    check_choice(start, "start", START)
    found = dict(_find_codebooks(model, clusters, layers, preserve_zeros, start))
    if not found:
        raise ValueError(
            "Nothing can be clustered: the chosen layers have no weights that can be pruned, see `summary(model)`. "
            f"Received: clusters={clusters!r}, layers={layers!r} with the model '{model.name}'"
        )
    if not any(_shares(book, kept) for _, books in found.values() for book, kept in books):
        say(
            "No weight shares its value with another: no array has more values than the clusters that it may have. "
            f"Choose fewer. Received: clusters={clusters!r} with the model '{model.name}'"
        )
    originals = _by_place(model)
    chosen = {id(originals[place]) for place in found}
    wrapped = add_masks(model, layers=lambda layer: id(layer) in chosen)
    copies = _by_place(wrapped)
    for place, (count, books) in found.items():
        layer = copies[place]
        detach_clusters(layer)
        attach_clusters(layer, [count] * len(books))
        for weight, (book, kept) in zip(find_masked(layer), books, strict=True):
            _write(weight, book, kept)
    _keras.track_again(wrapped)
    if isinstance(wrapped, keras.Model):
        wrapped.train_function = None  # a subclassed model may have been compiled without clusters
    return wrapped


def _by_place(model: keras.Layer) -> list[keras.Layer]:
    """The layers of a model. A copy has them in the same order; paths are not unique in subclassed models."""
    return [layer for _, layer in walk_layers(model)] if isinstance(model, keras.Model) else [model]


def _check_clusters(clusters: Any) -> None:
    if not isinstance(clusters, Mapping):
        check_integer(clusters, "clusters", 2, _MOST)
        return
    for pattern, count in clusters.items():
        if not isinstance(pattern, str):
            raise TypeError(f"The keys of `clusters` must be layer name patterns. Received: {pattern!r}")
        if count is not None:
            check_integer(count, f"clusters[{pattern!r}]", 2, _MOST)


def _number_for(clusters: Clusters, path: str) -> int | None:
    if not isinstance(clusters, Mapping):
        return int(clusters)
    found = next((count for pattern, count in clusters.items() if matches(pattern, path)), None)
    return None if found is None else int(found)


def _find_codebooks(
    model: keras.Layer, clusters: Clusters, layers: Any, preserve_zeros: bool, start: str
) -> Iterator[tuple[int, tuple[int, list[tuple[Codebook, np.ndarray]]]]]:
    """For each layer to cluster its place, the number of clusters, and for each weight its clusters and new mask."""
    walked = list(walk_layers(model)) if isinstance(model, keras.Model) else [(model.name, model)]
    paths = [path for path, _ in walked]
    chosen: Predicate = as_predicate(layers, paths)
    if isinstance(clusters, Mapping):
        check_patterns(clusters, paths, "clusters")
    for place, (path, layer) in enumerate(walked):
        count = _number_for(clusters, path)
        weights = find_prunable(inner_layer(layer)).weights
        if count is None or not weights or not chosen(path, layer):
            continue
        masks = {id(masked.weight): masked.kept() for masked in find_masked(layer)}
        books = []
        for name, weight in weights.items():
            values = _finite(weight, f"{path}/{name}")
            kept = masks.get(id(weight), np.ones(values.shape, bool))
            kept = kept & (values != 0) if preserve_zeros else kept
            books.append((kmeans(values[kept], count, start), kept))
        yield place, (count, books)


def _shares(book: Codebook, kept: np.ndarray) -> bool:
    """Whether some weights that are kept share a value."""
    return book.values.size < int(np.count_nonzero(kept))


def _finite(weight: keras.Variable, path: str) -> np.ndarray:
    values = _keras.as_numpy(weight)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"Weights must be finite to be clustered. Received: NaN or infinite values in '{path}'")
    return values


def _write(weight: Any, book: Codebook, kept: np.ndarray) -> None:
    """Gives a masked weight its clusters, its mask, and its shared values."""
    assignment = np.zeros(kept.shape, book.assignment.dtype)
    values = np.zeros(kept.shape, book.values.dtype)
    if book.values.size:
        assignment[...] = np.argmin(np.abs(book.values))  # the cluster that a pruned weight joins if it regrows
        assignment[kept] = book.assignment
        values[kept] = book.values[book.assignment]
    weight.set_mask(kept)
    weight.weight.assign(ops.cast(ops.convert_to_tensor(values), weight.weight.dtype))
    weight.shared.assign(assignment, kept)
