"""What the activations of a model are expected to be, from its weights alone: no data are at hand.

Of the channels of each tensor the mean and the covariance are followed through the graph. What a layer with weights
makes is taken to be normally distributed. The statistics of a BatchNormalization say what mean and variance the data
had there; what similar filters make is correlated, whatever the data are. (Kim et al. 2020, "Neuron Merging:
Compensating for Pruned Neurons": similar filters make similar activations, also behind a BatchNormalization.)
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras
from keras_prune.measurement.flat_copy import Runnable, Step
from keras_prune.reconstruction.refitting.tails import ADDITIONS
from keras_prune.reconstruction.views.linear_view import LinearView
from keras_prune.reconstruction.views.linear_views import linear_views
from keras_prune.tracing.rules.activations import is_elementwise

SMOOTHNESS = 0.5
"""The correlation of what two places of a window see, of one channel: neighbours in images and sequences are alike."""
WIDEST = 2048
"""Channels of the widest tensors that are followed: more take minutes."""
_SAMPLES = 4096
_TRANSPOSES: Any = tuple(_keras.operation_classes("numpy.Transpose"))
_NORMS = (keras.layers.LayerNormalization, keras.layers.RMSNormalization)
_ACTIVATIONS = (
    *(keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU),
    *_keras.operation_classes("nn.Relu", "nn.Relu6", "nn.Sigmoid", "nn.Softplus", "nn.Silu", "nn.LeakyRelu", "nn.Elu"),
    *_keras.operation_classes("nn.Selu", "nn.Gelu", "nn.HardSigmoid", "nn.HardSilu", "numpy.Tanh"),
)
_SAME = (
    *(keras.layers.Flatten, keras.layers.Reshape, keras.layers.Permute, keras.layers.Identity, keras.layers.Dropout),
    *(
        getattr(keras.layers, f"{name}{rank}D")
        for rank in (1, 2, 3)
        for name in (
            *("AveragePooling", "MaxPooling", "GlobalAveragePooling", "GlobalMaxPooling"),
            *("ZeroPadding", "Cropping", "UpSampling", "SpatialDropout"),
        )
    ),
    *_keras.operation_classes("numpy.Reshape", "numpy.Transpose", "numpy.Pad", "nn.MaxPool", "nn.AveragePool"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """The first two moments of the channels of a tensor, at any place of it.

    Args:
        mean: Vector of them.
        covariance: Matrix of them.
    """

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def is_finite(self) -> bool:
        """Whether weights that are not finite had no part in them."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.covariance).all())

    @property
    def second(self) -> np.ndarray:
        """The moments around zero."""
        return self.covariance + np.outer(self.mean, self.mean)

    def through(self, function: Callable[[Any], Any]) -> "Moments":
        """What a function of each entry makes of a normal distribution."""
        size = len(self.mean)
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
        noise = np.random.default_rng(0).normal(size=(max(_SAMPLES, 4 * size), size))
        drawn = ops.convert_to_tensor((self.mean + noise @ root).astype(np.float32))
        made = ops.convert_to_numpy(function(drawn)).astype(np.float64)
        return Moments(made.mean(axis=0), np.cov(made, rowvar=False).reshape(size, size))


def expected_moments(model: Runnable) -> dict[int, Moments]:
    """Return the moments of the tensors of a flat copy, by identity: of those that can be told.

    Args:
        model: The flat copy, activations apart.
    """
    known: dict[int, Moments] = {}
    for step in model.steps:
        made = _made(step, [known.get(id(tensor)) for _, tensor in step.inputs])
        if made is None or len(step.outputs) != 1 or not made.is_finite:
            continue
        if step.before_activation is not None:
            known[id(step.before_activation)] = made
            own = _keras.made_by(step.outputs[0][1])
            if own is None or not is_elementwise(own[0].activation):
                continue
            made = made.through(own[0].activation)
        known[id(step.outputs[0][1])] = made
    return known


def _made(step: Step, given: Sequence[Moments | None]) -> Moments | None:
    operation = step.operation
    if isinstance(operation, keras.layers.BatchNormalization):
        return _normalised(operation, given[0], operation.moving_variance)
    if isinstance(operation, _NORMS):
        return _normalised(operation, given[0], None)
    if len(given) == 1 and isinstance(operation, keras.Layer):
        views = linear_views(operation)
        if len(views) == 1 and not views[0].internal:
            return _linear(views[0], given[0], _channels(step))
    if isinstance(operation, ADDITIONS) and len(given) > 1:
        return _sum(given)
    if len(given) == 1 and given[0] is not None:
        if isinstance(operation, _SAME):
            return given[0] if _keeps_last_axis(operation) else None
        if isinstance(operation, _ACTIVATIONS):
            return given[0].through(operation)
        if isinstance(operation, keras.layers.Activation) and is_elementwise(operation.activation):
            return given[0].through(operation.activation)
    if isinstance(operation, keras.layers.Concatenate) and all(each is not None for each in given):
        return _side_by_side([each for each in given if each is not None])
    return None


def _keeps_last_axis(operation: Any) -> bool:
    """Whether the channels, those of the last axis, stay there: a transposition may put others in their place."""
    if isinstance(operation, keras.layers.Permute):
        return bool(operation.dims[-1] == len(operation.dims))
    if isinstance(operation, _TRANSPOSES):
        axes = operation.axes
        return axes is not None and axes[-1] in (-1, len(axes) - 1)
    return True


def _channels(step: Step) -> int:
    """How many channels a layer reads: of a convolution the last axis but one of its kernel."""
    kernel = step.operation.kernel if hasattr(step.operation, "kernel") else None
    return 1 if kernel is None or len(kernel.shape) < 3 else int(kernel.shape[-2])


def _normalised(layer: Any, given: Moments | None, variance: Any) -> Moments | None:
    """What a normalisation makes: its offset and scale say the mean and the deviation.

    Args:
        layer: The normalisation.
        given: The moments before it, of which the correlations count; None: they are unknown, and taken to be 0.
        variance: The moving variance of a BatchNormalization; None: the layer takes that of its inputs.
    """
    rms = isinstance(layer, keras.layers.RMSNormalization)
    scale, offset = (layer.scale, None) if rms else (getattr(layer, "gamma", None), getattr(layer, "beta", None))
    vectors = [_keras.as_numpy(each).astype(np.float64) for each in (scale, offset, variance) if each is not None]
    if not vectors or vectors[0].ndim != 1:
        return None
    size = len(vectors[0])
    if given is None or len(given.mean) != size:
        given = Moments(np.zeros(size), np.eye(size))
    factors = np.ones(size) if scale is None else vectors[0]
    if variance is not None:
        factors = factors * np.sqrt(vectors[-1] / (vectors[-1] + layer.epsilon))
    mean = np.zeros(size) if offset is None else _keras.as_numpy(offset).astype(np.float64)
    own = np.sqrt(np.maximum(np.diag(given.covariance), 1e-30))
    return Moments(mean, given.covariance * np.outer(factors / own, factors / own))


def _linear(view: LinearView, given: Moments | None, channels: int) -> Moments | None:
    matrices = np.asarray(view.matrices(), np.float64)
    groups, inputs, outputs = matrices.shape
    if max(groups, outputs) > WIDEST or (given is None and inputs > WIDEST):
        return None
    if groups > 1:
        return _depthwise(view, matrices, given)
    if given is None or inputs % len(given.mean):
        size = channels if channels > 1 and inputs % channels == 0 else inputs
        given = Moments(np.zeros(size), np.eye(size))
    size = len(given.mean)
    places = matrices.reshape(inputs // size, size, outputs)
    whole = places.sum(axis=0)
    apart = np.einsum("pco,cd,pdn->on", places, given.covariance, places, optimize=True)
    covariance = (1 - SMOOTHNESS) * apart + SMOOTHNESS * whole.T @ given.covariance @ whole
    return Moments(given.mean @ whole + _offsets(view, outputs), covariance)


def _depthwise(view: LinearView, matrices: np.ndarray, given: Moments | None) -> Moments | None:
    groups, _, outputs = matrices.shape
    if given is None or len(given.mean) != groups or outputs > 1:
        return None
    places = matrices[..., 0]
    whole = places.sum(axis=1)
    alike = (1 - SMOOTHNESS) * places @ places.T + SMOOTHNESS * np.outer(whole, whole)
    return Moments(given.mean * whole + _offsets(view, groups), given.covariance * alike)


def _offsets(view: LinearView, size: int) -> np.ndarray:
    return np.zeros(size) if view.bias is None else view.offsets().reshape(-1).astype(np.float64)


def _sum(given: Sequence[Moments | None]) -> Moments | None:
    terms = [each for each in given if each is not None]
    if len(terms) < len(given) or len({len(each.mean) for each in terms}) > 1:
        return None
    means, covariances = ([getattr(each, name) for each in terms] for name in ("mean", "covariance"))
    return Moments(np.sum(means, axis=0), np.sum(covariances, axis=0))


def _side_by_side(given: Sequence[Moments]) -> Moments:
    sizes = np.cumsum([0, *(len(each.mean) for each in given)])
    covariance = np.zeros((sizes[-1], sizes[-1]))
    for start, end, each in zip(sizes, sizes[1:], given, strict=False):
        covariance[start:end, start:end] = each.covariance
    return Moments(np.concatenate([each.mean for each in given]), covariance)
