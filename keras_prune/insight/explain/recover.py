"""Removed channels, found from two models alone: the values of the weights that were kept say where they were."""

import keras
import numpy as np

from keras_prune import _keras
from keras_prune.channels.groups import ChannelAnalysis
from keras_prune.channels.plan import ChannelPlan
from keras_prune.channels.rebuild import rebuild
from keras_prune.tracing.binding import Binding
from keras_prune.tracing.labels import FIXED


def recover_plan(analysis: ChannelAnalysis, before: keras.Model, after: keras.Model) -> ChannelPlan:
    """Return the plan by which `after` was made of `before`, if it was not trained since.

    A value that only one position of an axis has says where it comes from. The plan that was found is carried out
    again, and must give the same weights.

    Args:
        analysis: The channels of `before`.
        before: The original model.
        after: The smaller one.

    Raises:
        ValueError: The plan cannot be found.
    """
    old, new = list(before.weights), list(after.weights)
    if len(old) != len(new) or any(len(a.shape) != len(b.shape) for a, b in zip(old, new, strict=True)):
        raise _unknown(before, after, "they have other layers")
    smaller = {id(a): b for a, b in zip(old, new, strict=True)}
    removed = {}
    for group in analysis.groups:
        if group.frozen:
            continue
        kept = np.zeros(group.size, bool)
        for member in group.members:
            kept[_kept_channels(member, smaller[id(member.weight)], group.channels)] = True
        if kept.all() or not kept.any():
            continue
        removed[group.name] = tuple(np.flatnonzero(~kept).tolist())
    plan = ChannelPlan(analysis.fingerprint, removed)
    try:
        again = rebuild(analysis.trace, plan.keep(analysis))
    except ValueError as error:
        raise _unknown(before, after, "the weights that were kept do not say where they were") from error
    if not _equal(again, after):
        raise _unknown(before, after, "the weights that were kept have other values, as after training")
    return plan


def _kept_channels(member: Binding, smaller: keras.Variable, channels: np.ndarray) -> np.ndarray:
    """The channels of a group, by position, that a weight of the smaller model still has."""
    if member.rescale is not None:  # its values were changed
        return np.empty(0, np.int64)
    values, rest = (_rows(each, member.axis) for each in (member.weight, smaller))
    positions = np.arange(len(values)) if len(values) == len(rest) else _origins(values, rest)
    labels = member.labels[positions]
    return np.searchsorted(channels, np.unique(labels[labels != FIXED]))


def _rows(weight: keras.Variable, axis: int) -> np.ndarray:
    """The values as a matrix with a row for each position of the axis."""
    values = _keras.as_numpy(weight)
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _origins(rows: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """For each row of the smaller weight the row that it was, where its values tell; rows may have lost entries."""
    values, first, counts = np.unique(rows, return_index=True, return_counts=True)
    once = counts == 1  # zeros and other values that many entries have tell nothing
    values, owners = values[once], first[once] // rows.shape[1]
    if not values.size:
        return np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(values, rest), len(values) - 1)
    known = values[places] == rest
    votes = [np.bincount(owners[place[know]]) for place, know in zip(places, known, strict=True)]
    return np.array([vote.argmax() for vote in votes if vote.size], np.int64)


def _equal(again: keras.Model, after: keras.Model) -> bool:
    """Whether the models have the same weights; statistics that are not trained may have been estimated again."""
    for one, other in zip(again.weights, after.weights, strict=True):
        if tuple(one.shape) != tuple(other.shape):
            return False
        a, b = _keras.as_numpy(one), _keras.as_numpy(other)
        if one.trainable and not np.allclose(a, b, rtol=1e-5, atol=1e-7, equal_nan=True):
            return False
    return True


def _unknown(before: keras.Model, after: keras.Model, why: str) -> ValueError:
    """The error that says what to pass instead."""
    return ValueError(
        f"The two models alone do not show what was removed, since {why}. Pass the result of `prune_channels` or "
        "`prune_layers` as `after`, or its plan, `plan=result.plan`. "
        f"Received: '{before.name}' with {before.count_params():,} parameters, '{after.name}' with "
        f"{after.count_params():,}"
    )
