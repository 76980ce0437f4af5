"""Outputs and call times of models, which are left as they were."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from keras_prune.graph.stateful import states_untouched

WARM_UP = 5  # calls: the first compiles, the next find memory


def outputs_of(model: keras.Model, x: Any, batch_size: int) -> Any:
    """Return all outputs of a model for all samples, as it returns them: an array, or a list or dict of arrays."""
    with _untouched(model):
        return keras.tree.map_structure(np.asarray, model.predict(x, batch_size=batch_size, verbose=0))


def call_times(models: Sequence[keras.Model], x: Any, runs: int) -> list[float]:
    """Return the median of the milliseconds that `predict_on_batch` takes for the first sample.

    The models take turns, call by call, so that whatever else the machine does hits all of them alike.
    """
    sample = keras.tree.map_structure(lambda leaf: leaf[:1], x)
    times = np.zeros((runs, len(models)))
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(_untouched(model))
        for run in range(-WARM_UP, runs):
            for index, model in enumerate(models):
                start = time.perf_counter()
                model.predict_on_batch(sample)
                times[max(run, 0), index] = time.perf_counter() - start  # the warm-up is overwritten
    return [float(median) * 1e3 for median in np.median(times, axis=0)]


@contextmanager
def _untouched(model: keras.Model) -> Iterator[None]:
    """Runs a model as if it had no states, and gives it back as it was, compiled functions and counters included."""
    function = model.predict_function
    kept = [np.array(keras.ops.convert_to_numpy(each.value)) for each in model.non_trainable_variables]
    model.predict_function = None
    try:
        with states_untouched(model):
            yield
    finally:
        model.predict_function = function
        for variable, value in zip(model.non_trainable_variables, kept, strict=True):
            if not np.array_equal(keras.ops.convert_to_numpy(variable.value), value, equal_nan=value.dtype.kind == "f"):
                variable.assign(value)
