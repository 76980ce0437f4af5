"""What the layers that read a channel lose without it, once their other inputs have taken over what they can."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keras_prune import _keras
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable
from keras_prune.reconstruction.elimination import Reader, eliminate
from keras_prune.reconstruction.normal_equations import NormalEquations, second_moments
from keras_prune.reconstruction.views.linear_view import LinearView
from keras_prune.reconstruction.views.linear_views import linear_views
from keras_prune.reporting.progress import track
from keras_prune.tracing.binding import Binding

ROWS_OF_A_SAMPLE = 64


def measure_errors(copy: Runnable, readers: Sequence[Sequence[Binding]], batches: Batches) -> dict[int, np.ndarray]:
    """Return the error without each position of each axis of a weight that reads channels.

    Args:
        copy: The model.
        readers: For each group of channels the axes of weights that read them, labelled with channels.
        batches: Inputs.

    Returns:
        By identity of the axis an error for each position, the same for all that read a channel; without those of
        layers of unknown kinds.

    Raises:
        ValueError: An input is not finite.
    """
    views: dict[int, LinearView] = {}
    for step in copy.steps:
        for view in linear_views(step.operation):
            views.setdefault(id(view.weight), view)
    wanted = [[each for each in group if id(copy.twins[id(each.weight)]) in views] for group in readers]
    mine = {id(each.weight): views[id(copy.twins[id(each.weight)])] for group in wanted for each in group}
    counted = track(batches, batches.count, "Inputs of layers")
    found = second_moments(copy.model, list(mine.values()), counted, intercept=True, most=ROWS_OF_A_SAMPLE)
    equations = dict(zip(mine, found, strict=True))
    errors = {}
    for group in wanted:
        used = [each for each in group if equations[id(each.weight)].rows]
        rises = eliminate([reader for each in used for reader in _readers(each, mine, equations)])
        errors.update({id(each): np.array([rises.get(label, 0.0) for label in each.labels.tolist()]) for each in used})
    return errors


def _readers(
    binding: Binding, views: Mapping[int, LinearView], equations: Mapping[int, NormalEquations]
) -> Iterator[Reader]:
    """A weight, of which each group of its channels has inputs of its own."""
    key = id(binding.weight)
    labels = views[key].matrices(_spread(binding))
    parts = zip(equations[key].around_means(), views[key].matrices(), labels.max(axis=2), strict=True)
    return (Reader(*part, share=1 / views[key].groups) for part in parts)


def _spread(binding: Binding) -> np.ndarray:
    """The labels of an axis, for each entry of the weight."""
    rank = _keras.as_numpy(binding.weight).ndim
    others = tuple(axis for axis in range(rank) if axis != binding.axis % rank)
    return np.array(np.broadcast_to(np.expand_dims(binding.labels, others), tuple(binding.weight.shape)))
