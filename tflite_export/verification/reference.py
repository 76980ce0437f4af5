"""The outputs of Keras, which a file is compared with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export.arrays import call_sizes, join, parts
from tflite_export.keras_models.signature import Input, signature_names
from tflite_export.verification.checks import Sample, check_finite

if TYPE_CHECKING:
    import keras


def sample_of(
    model: "keras.Model",
    structure: Any,
    batches: Sequence[np.ndarray],
    samples: int,
    batch: int | None,
    *,
    synthetic: bool,
) -> Sample:
    """Return the first samples, in whole batches, with the outputs of Keras.

    Raises:
        ExportError: Not all of its outputs are finite.
    """
    first = [array[: whole_batches(samples, batch)] for array in batches]
    sizes = sizes_to_compare(len(first[0]), batch)
    names, expected = run_keras(model, structure, first, sizes, batch)
    check_finite(expected, names, "the Keras model", " (synthetic: none were given)" if synthetic else "")
    return Sample(first, names, expected, sizes)


def output_names(model: "keras.Model", structure: Any, inputs: Sequence[Input], batch: int | None) -> list[str]:
    """Return the names of the outputs, from a call on zeros, which are valid as ids, flags and numbers."""
    size = batch or 1
    zeros = [np.zeros((size, *spec.shape), spec.dtype) for spec in inputs]
    return run_keras(model, structure, zeros, [size], batch)[0]


def whole_batches(samples: int, batch: int | None) -> int:
    """Return this number of samples, rounded up to whole batches."""
    size = batch or 1
    return -(-samples // size) * size


def sizes_to_compare(samples: int, batch: int | None) -> list[int]:
    """Return the samples of each call of the comparison: a batch; with a free batch one, three, and all the others."""
    if batch is not None:
        return call_sizes(samples, batch)
    return [size for size in (1, min(3, samples - 1), samples - 4) if size > 0]


def run_keras(
    model: "keras.Model", structure: Any, batches: Sequence[np.ndarray], sizes: Sequence[int], batch: int | None
) -> tuple[list[str], list[np.ndarray]]:
    """Return the names of the outputs and their values, from calls on the batches that the file gets too.

    Args:
        model: Without masks.
        structure: The structure of its inputs.
        batches: Its inputs, in flattened order.
        sizes: How many samples each call takes.
        batch: How many the file always gets; None: just these.
    """
    import keras

    calls = []
    result: Any = None
    with _state_kept(model):
        for values in parts(batches, sizes, batch):
            tensors = [keras.ops.convert_to_tensor(value) for value in values]
            result = model(keras.tree.pack_sequence_as(structure, tensors), training=False)
            calls.append([keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(result)])
    keys = [""] * len(calls[0])
    if isinstance(result, dict) and len(result) == len(keys):
        for key, place in keras.tree.pack_sequence_as(result, list(range(len(keys)))).items():
            keys[place] = str(key)
    return signature_names(keys, "output"), join(calls, sizes, batch)


def predict(model: "keras.Model", structure: Any, batches: Sequence[np.ndarray], batch: int | None) -> list[np.ndarray]:
    """Return Keras's outputs for many samples: in large batches, unless the model is built for `batch` of them."""
    import keras

    if batch is not None and any(tensor.shape[0] is not None for tensor in getattr(model, "inputs", None) or ()):
        return run_keras(model, structure, batches, call_sizes(len(batches[0]), batch), batch)[1]
    with _state_kept(model):
        outputs = model.predict(keras.tree.pack_sequence_as(structure, list(batches)), batch_size=256, verbose=0)
    return keras.tree.flatten(outputs)


@contextmanager
def _state_kept(model: "keras.Model") -> Iterator[None]:
    """Restore the model's state afterwards: a layer may count its calls, and a subclassed model is the user's."""
    state = [variable.numpy() for variable in model.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in zip(model.non_trainable_variables, state, strict=True):
            variable.assign(value)
