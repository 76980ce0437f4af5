"""What the layers that read a channel lose without it, once their other inputs have taken over what they can."""

from collections.abc import Sequence

import numpy as np

from keras_prune import _keras
from keras_prune.measurement.batches import Batches
from keras_prune.measurement.flat_copy import Runnable
from keras_prune.reconstruction.elimination import eliminate
from keras_prune.reconstruction.linear_view import LinearView
from keras_prune.reconstruction.linear_views import linear_views
from keras_prune.reconstruction.normal_equations import second_moments
from keras_prune.reporting.progress import track
from keras_prune.tracing.binding import Binding

ROWS_OF_A_SAMPLE = 64


def measure_errors(copy: Runnable, readers: Sequence[Binding], batches: Batches) -> dict[tuple[int, int], np.ndarray]:
    """Return the error without each position of each axis of a weight that reads channels.

    Args:
        copy: The model.
        readers: The axes of weights that read channels, labelled with channels.
        batches: Inputs.

    Returns:
        By identity of the weight, and axis, an error for each position; without those of layers of unknown kinds.

    Raises:
        ValueError: An input is not finite.
    """
    views: dict[int, LinearView] = {}
    for step in copy.steps:
        for view in linear_views(step.operation):
            views.setdefault(id(view.weight), view)
    wanted = [binding for binding in readers if id(copy.twins[id(binding.weight)]) in views]
    mine = {id(binding.weight): views[id(copy.twins[id(binding.weight)])] for binding in wanted}
    counted = track(batches, batches.count, "Inputs of layers")
    found = second_moments(copy.model, list(mine.values()), counted, intercept=True, most=ROWS_OF_A_SAMPLE)
    equations = dict(zip(mine, found, strict=True))
    errors = {}
    for binding in wanted:
        key = id(binding.weight)
        if not equations[key].rows:
            continue
        labels = _spread(binding)
        rises: dict[int, float] = {}
        for group, (gram, weights) in enumerate(zip(equations[key].around_means(), mine[key].matrices(), strict=True)):
            own = mine[key].matrices(labels)[group].max(axis=1)
            for channel, error in eliminate(gram, weights, own).items():
                rises[channel] = rises.get(channel, 0.0) + error / mine[key].groups
        errors[key, binding.axis] = np.array([rises.get(label, 0.0) for label in binding.labels.tolist()])
    return errors


def _spread(binding: Binding) -> np.ndarray:
    """The labels of an axis, for each entry of the weight."""
    rank = _keras.as_numpy(binding.weight).ndim
    others = tuple(axis for axis in range(rank) if axis != binding.axis % rank)
    return np.array(np.broadcast_to(np.expand_dims(binding.labels, others), tuple(binding.weight.shape)))
