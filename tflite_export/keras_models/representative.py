"""Representative data in the forms in which people have them: arrays, batches, generators, functions, datasets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tflite_export.keras_models.signature import Input, standardize

MOST = 1000  # samples that are taken of what may have no end

_NAME = "representative_data"


class Batches(list[Any]):
    """Batches, each as the model takes its inputs, perhaps with targets behind them."""


def collected(data: Any) -> Any:
    """Return data as it is, or as `Batches` if it is a function, an iterator or a dataset.

    Raises:
        ValueError: It yields nothing.
    """
    if callable(data) and not hasattr(data, "shape") and not hasattr(data, "__len__"):
        data = data()  # as `TFLiteConverter.representative_dataset` takes it
    if isinstance(data, Mapping | list | tuple | str) or hasattr(data, "shape") or not _can_iterate(data):
        return data
    batches, samples = Batches(), 0
    for batch in _each(data):
        batches.append(batch)
        leaves = _leaves(batch)
        samples += len(leaves[0]) if leaves and np.ndim(leaves[0]) else 1
        if samples >= MOST:
            break
    if not batches:
        raise ValueError(f"`{_NAME}` must have at least one batch. Received: an empty {type(data).__name__}")
    return batches


def example_of(data: Any) -> Any:
    """Return data whose structure is that of a model's inputs: of batches the first, without targets."""
    if not isinstance(data, Batches):
        return data
    first = data[0]
    is_pair = isinstance(first, tuple) and len(first) in (2, 3)
    if is_pair or (isinstance(first, list) and len(first) == 1):
        return first[0]
    return first


def standardize_data(structure: Any, specs: Sequence[Input], data: Any) -> list[np.ndarray]:
    """Return representative data as one checked array per input of the model.

    Raises:
        ValueError: A batch does not have the structure of the model's inputs, or a value is NaN or infinite.
    """
    batches = data if isinstance(data, Batches) else _listed(specs, data)
    if batches is None:
        arrays = standardize(structure, specs, _without_targets(specs, data), _NAME)
    else:
        each = [standardize(structure, specs, _batch(specs, batch), _NAME) for batch in batches]
        arrays = [np.concatenate(column)[:MOST] for column in zip(*each, strict=True)]
    for spec, array in zip(specs, arrays, strict=True):
        finite = np.isfinite(array)
        if not finite.all():
            raise ValueError(
                f"`{_NAME}` must hold finite numbers, since ranges are measured on them. "
                f"Received: {np.sum(~finite)} of {array.size} values of the input {spec.key!r} are NaN or infinite"
            )
    return arrays


def _listed(specs: Sequence[Input], data: Any) -> Batches | None:
    """The batches in a list of them; None if it is one batch, or the inputs of a model."""
    if not isinstance(data, list) or len(data) < 2:
        return None
    if len(specs) > 1:
        if all(isinstance(each, Mapping) for each in data):
            return Batches(data)
        nested = all(isinstance(each, list | tuple) and len(each) == len(specs) for each in data)
        pairs = [pair for each in data if nested for pair in zip(each, specs, strict=True)]
        fits = nested and all(np.ndim(leaf) == 1 + len(spec.shape) for leaf, spec in pairs)
        return Batches(data) if fits else None
    rank = 1 + len(specs[0].shape)
    single = [each[0] if isinstance(each, list | tuple) and len(each) == 1 else each for each in data]
    are_arrays = all(isinstance(each, Mapping) or hasattr(each, "shape") for each in single)
    are_batches = are_arrays and all(isinstance(each, Mapping) or np.ndim(each) == rank for each in single)
    return Batches(single) if are_batches else None


def _batch(specs: Sequence[Input], batch: Any) -> Any:
    """The inputs in a batch, with a batch axis."""
    values = _without_targets(specs, batch)
    if len(specs) == 1 and isinstance(values, list | tuple) and len(values) == 1:
        values = values[0]
    if isinstance(values, Mapping):
        by_name = {name: spec for spec in specs for name in (spec.key, spec.name)}
        return {name: _with_axis(value, by_name[name]) if name in by_name else value for name, value in values.items()}
    if len(specs) == 1:
        return _with_axis(values, specs[0])
    if isinstance(values, list | tuple) and len(values) == len(specs):
        return type(values)(_with_axis(value, spec) for value, spec in zip(values, specs, strict=True))
    return values


def _with_axis(value: Any, spec: Input) -> Any:
    """A sample as a batch of one: datasets that were not batched yield such."""
    if isinstance(value, list | tuple | Mapping):
        return value
    return np.asarray(value)[None] if np.shape(value) == spec.shape else value


def _without_targets(specs: Sequence[Input], batch: Any) -> Any:
    """The inputs of a tuple (inputs, targets) or (inputs, targets, weights), as `fit` takes it."""
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        return batch
    first = batch[0]
    if isinstance(first, Mapping) or (isinstance(first, list | tuple) and len(specs) > 1):
        return first
    return first if len(specs) == 1 and hasattr(first, "shape") else batch


def _can_iterate(data: Any) -> bool:
    return hasattr(data, "__iter__") or (hasattr(data, "__getitem__") and hasattr(data, "__len__"))


def _each(data: Any) -> Iterator[Any]:
    """The entries of an iterable, or of a sequence such as `keras.utils.PyDataset`, whose iterator may have no end."""
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        for place in range(len(data)):
            yield data[place]
    else:
        yield from data


def _leaves(batch: Any) -> list[Any]:
    import keras

    return keras.tree.flatten(batch)
