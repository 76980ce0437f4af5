"""A layer that runs at each step of a sequence: its weight as a linear map of the whole sequence."""

import numpy as np

from keras_prune.reconstruction.views.linear_view import WrappedView


class EachStep(WrappedView):
    """A view of a weight whose layer takes one step of each sample at a time."""

    def columns(self, inputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        if places is None:
            return self._view.columns(_joined(inputs))
        # One sample after the other: a window makes many columns of each entry, and few places may be asked for.
        return np.concatenate([self._view.columns(each)[:, places] for each in inputs], axis=1)

    def rows(self, outputs: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        if places is None:
            return self._view.rows(_joined(outputs))
        return np.concatenate([self._view.rows(each)[:, places] for each in outputs], axis=1)


def _joined(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *values.shape[2:])
