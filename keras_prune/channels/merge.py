"""`compensate="weights"`: removed channels are merged into those that are kept and most like them, without data."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.channels.expected import SMOOTHNESS, Moments, expected_moments
from keras_prune.graph.structure import Structure
from keras_prune.measurement.flat_copy import Runnable, Step, make_runnable
from keras_prune.reconstruction.refitting.layer_refit import LayerRefit
from keras_prune.reconstruction.refitting.tails import Flow
from keras_prune.reconstruction.views.linear_view import LinearView
from keras_prune.reconstruction.views.linear_views import linear_views
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.labels import FIXED, collapse
from keras_prune.tracing.trace import Trace

RIDGE = 0.01
"""How much small combinations are preferred: what is expected of the activations is not what they are."""
ALIKE = 1e-9  # of the second moment of a channel: what is left of it once a multiple of another is taken away


@dataclasses.dataclass(frozen=True, eq=False)
class Merge:
    """How removed channels are replaced: by a combination of those that are kept, and a constant.

    Args:
        removed: Their positions.
        kept: Those of the others.
        combination: Matrix (kept, removed).
        constant: Vector of those that are removed.
    """

    removed: np.ndarray
    kept: np.ndarray
    combination: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, moments: Moments, keep: np.ndarray, constants: bool) -> "Merge":
        """The best one for activations of these moments.

        Args:
            moments: Of all channels.
            keep: For each whether it is kept.
            constants: Whether what reads them can add a constant.
        """
        kept, removed = np.flatnonzero(keep), np.flatnonzero(~keep)
        whole = moments.second
        aims = moments.covariance if constants else whole
        given, wanted = aims[np.ix_(kept, kept)], aims[np.ix_(kept, removed)]
        held = given + (RIDGE * np.trace(given) / len(kept) + 1e-30) * np.eye(len(kept))
        combination = np.linalg.solve(held, wanted)
        own, squares = np.diag(whole)[removed], np.diag(whole)[kept]
        cross = whole[np.ix_(kept, removed)]
        left = own - np.square(cross) / np.maximum(squares, 1e-30)[:, None]
        best = left.argmin(axis=0)
        alike = left[best, np.arange(len(removed))] <= ALIKE * own
        factors = cross[best, np.arange(len(removed))] / np.maximum(squares[best], 1e-30)
        combination[:, alike] = 0.0
        combination[best[alike], np.flatnonzero(alike)] = factors[alike]
        constant = moments.mean[removed] - moments.mean[kept] @ combination
        constant = np.where(alike, 0.0, constant) if constants else np.zeros(len(removed))
        return cls(removed, kept, combination, constant)

    def errors(self, moments: Moments, weights: np.ndarray) -> tuple[float, float]:
        """The expected error of what weights give, relative to its variance: without the merge, and with it.

        Args:
            moments: Of all channels.
            weights: Of shape (channels, places, outputs).
        """
        part = np.zeros((len(moments.mean), len(self.removed)))
        part[self.removed, np.arange(len(self.removed))] = 1.0
        gone = _combined(moments, part)
        part[self.kept] = -self.combination
        left = _combined(moments, part)
        left = Moments(left.mean - self.constant, left.covariance)
        scale = max(_energy(Moments(0 * moments.mean, moments.covariance), weights), 1e-30)
        before, after = (_energy(each, weights[self.removed]) / scale for each in (gone, left))
        return before, after


def _combined(moments: Moments, parts: np.ndarray) -> Moments:
    return Moments(moments.mean @ parts, parts.T @ moments.covariance @ parts)


def _energy(moments: Moments, weights: np.ndarray) -> float:
    """The expected square of what weights give, added up over the outputs."""
    whole = weights.sum(axis=1)
    apart = np.einsum("cpo,cd,dpo->", weights, moments.covariance, weights, optimize=True)
    together = np.einsum("co,cd,do->", whole, moments.covariance, whole, optimize=True)
    return float((1 - SMOOTHNESS) * apart + SMOOTHNESS * together + np.square(moments.mean @ whole).sum())


def merge_channels(trace: Trace, kept: Kept) -> tuple[dict[int, np.ndarray], tuple[LayerRefit, ...]]:
    """Find the weights that make up for the removed channels.

    Args:
        trace: What is known of the original. It is only read.
        kept: The channels that are kept.

    Returns:
        The new values of weights of the original, before any channel is removed, by identity; and a record of each
        layer that reads removed channels, in the order of the graph.
    """
    return _Merger(trace, kept).run()


class _Merger:
    def __init__(self, trace: Trace, kept: Kept):
        self._trace, self._kept = trace, kept
        structure = Structure(trace.model)
        paths = {id(node.operation): structure.path(node) for node in reversed(structure.nodes)}
        self._flat: Runnable = make_runnable(trace.model, paths, activations_apart=True)
        twins = self._flat.twins
        self._originals = {id(twins[id(each)]): each for each in trace.model.variables if id(each) in twins}
        self._exact = np.ones(len(trace.found.atoms), bool)
        self._exact[list(trace.found.atoms.inexact())] = False
        self._moments = expected_moments(self._flat)
        self._flow = Flow(self._flat)
        self._flow.settled = [-1] * len(self._flat.steps)
        self._values: dict[int, np.ndarray] = {}
        self._bindings: dict[int, list[Binding]] = {}
        for binding in trace.found.bindings.values():
            if binding.role == "in" and not kept.mask(binding.labels).all():
                self._bindings.setdefault(id(binding.weight), []).append(binding)

    def run(self) -> tuple[dict[int, np.ndarray], tuple[LayerRefit, ...]]:
        uses: dict[int, list[int]] = {}
        for index, step in enumerate(self._flat.steps):
            for weight in self._weights(step):
                uses.setdefault(id(weight), []).append(index)
        rows: dict[str, LayerRefit] = {}
        for index, step in enumerate(self._flat.steps):
            for weight in self._weights(step):
                if uses[id(weight)][0] == index:
                    rows[step.path] = self._merged(weight, uses[id(weight)])
        return self._values, tuple(rows.values())

    def _weights(self, step: Step) -> list[Any]:
        """The weights of a step, of the original, that read removed channels."""
        found = [self._originals.get(id(each)) for each in getattr(step.operation, "variables", ())]
        return [each for each in found if each is not None and id(each) in self._bindings]

    def _merged(self, weight: Any, uses: Sequence[int]) -> LayerRefit:
        steps = [self._flat.steps[index] for index in uses]
        path, kind = steps[0].path, type(steps[0].operation).__name__

        def left(note: str) -> LayerRefit:
            return LayerRefit(path, None, None, None, None, f"{note}: left as sliced")

        views = linear_views(steps[0].operation) if isinstance(steps[0].operation, keras.Layer) else []
        if len(views) != 1 or views[0].internal or len(self._bindings[id(weight)]) > 1:
            return left(f"no merging is known for a {kind}")
        if not weight.trainable:
            return LayerRefit(path, None, None, None, None, "not trainable")
        (binding,), view = self._bindings[id(weight)], views[0]
        found = [self._known(step) for step in steps]
        known = [each for each in found if each is not None]
        if len(known) < len(found) or any(not np.array_equal(each[1], known[0][1]) for each in known):
            return left("without data nothing is known of its inputs")
        moments, channels = _mean([each[0] for each in known]), known[0][1]
        if not self._exact[channels[~self._kept.mask(channels)]].all():
            return left("the values of the kept channels change too")
        rows = _rows(view, binding.axis, self._trace.found.atoms.roots(binding.labels), channels)
        if rows is None:
            return left("its inputs are no channels side by side")
        norm = self._flow.tail(uses[0], False).norm if view.bias is None and len(uses) == 1 else None
        merge = Merge.of(moments, self._kept.mask(channels), view.bias is not None or norm is not None)
        matrix = np.array(view.matrices()[0], np.float64)
        read = matrix[rows]
        matrix[rows[merge.kept]] += np.tensordot(merge.combination, read[merge.removed], 1)
        self._set(weight, view.weights(matrix[None]))
        offsets = np.einsum("c,cpo->o", merge.constant, read[merge.removed])[None]
        if view.bias is not None:
            self._set(self._originals[id(view.bias)], view.biases(view.offsets() + offsets))
        elif norm is not None:  # which takes the mean of its inputs away: less of it is a bias
            mean = _keras.as_numpy(norm.moving_mean)
            self._set(self._originals[id(norm.moving_mean)], mean - offsets.reshape(mean.shape))
        before, after = merge.errors(moments, read)
        inputs = rows[merge.kept].size + (view.bias is not None)
        return LayerRefit(path, inputs, None, before, after, "expected, without data")

    def _known(self, step: Step) -> tuple[Moments, np.ndarray] | None:
        """The moments of what a step reads, and its channels."""
        tensor, twin = step.inputs[0]
        moments = self._moments.get(id(twin))
        if moments is None:
            return None
        labels = self._trace.found.atoms.roots(collapse([self._trace.tensors[id(tensor)]])[0].ravel())
        if len(labels) != len(moments.mean):  # flattened: each channel several times
            labels = labels[np.sort(np.unique(labels, return_index=True)[1])]
        return (moments, labels) if len(labels) == len(moments.mean) else None

    def _set(self, weight: Any, values: np.ndarray) -> None:
        self._values[id(weight)] = values.astype(_keras.as_numpy(weight).dtype)


def _rows(view: LinearView, axis: int, labels: np.ndarray, channels: np.ndarray) -> np.ndarray | None:
    """Which inputs of a weight belong to each channel, array (channels, places); None where it is not the same for all.

    Args:
        view: The weight.
        axis: Its axis along which the channels are.
        labels: The channel of each position there.
        channels: All of them.
    """
    if view.groups > 1:
        return None
    if len(labels) == len(channels):
        places = np.arange(len(channels))[:, None] if np.array_equal(labels, channels) else None
    else:
        found = [np.flatnonzero(labels == channel) for channel in channels]
        alike = len({len(each) for each in found}) == 1 and FIXED not in channels
        places = np.stack(found) if alike else None
    if places is None:
        return None
    shape = [1] * len(view.weight.shape)
    shape[axis] = -1
    positions = np.broadcast_to(np.arange(len(labels)).reshape(shape), view.weight.shape)
    at = np.argsort(view.matrices(positions)[0, :, 0], kind="stable").reshape(len(labels), -1)
    return at[places].reshape(len(channels), -1)


def _mean(moments: Sequence[Moments]) -> Moments:
    mean = np.mean([each.mean for each in moments], axis=0)
    second = np.mean([each.second for each in moments], axis=0)
    return Moments(mean, second - np.outer(mean, mean))
