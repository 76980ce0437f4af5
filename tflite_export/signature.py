"""A Keras model's inputs: their names and shapes, what the user gives for them or what stands in for it."""

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite_export.arrays import as_batch, is_list_of_batches, same_length

if TYPE_CHECKING:
    import keras

_SEED = 20240607


@dataclass(frozen=True)
class Input:
    """One input of a model.

    Attributes:
        name: Its name in the file's signature.
        key: What Keras calls it.
        shape: Its shape without the batch.
        dtype: Its type.
    """

    name: str
    key: str
    shape: tuple[int, ...]
    dtype: str


def structure_of(model: "keras.Model", inputs: Any) -> Any:
    """The nest in which the model's inputs stand. Only its form matters, not its leaves.

    A subclassed model has no inputs of its own to tell: there the user's `inputs` show the form.

    Raises:
        ValueError: A subclassed model without `inputs`.
    """
    import keras

    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    if getattr(model, "inputs", None):
        return model.input
    if inputs is None:
        raise ValueError(
            "A subclassed model does not say what its inputs look like: pass some as `inputs`. "
            f"Received: {type(model).__name__} with inputs=None"
        )
    return inputs


def inputs_of(model: "keras.Model", structure: Any, batch: int | None) -> tuple[Input, ...]:
    """The model's inputs, in flattened order.

    Args:
        model: The model.
        structure: The nest in which its inputs stand.
        batch: How many samples the file takes at a time; None: as many as it is given.

    Raises:
        ValueError: An axis other than the batch has no fixed size, or the model is built for another batch.
    """
    import keras

    leaves = keras.tree.flatten(structure)
    if not isinstance(structure, Mapping) or len(structure) != len(leaves):
        keys = [str(getattr(leaf, "name", "")) for leaf in leaves]
    else:  # a flat dict: its keys, in the order in which `flatten` takes them
        order = keras.tree.pack_sequence_as(structure, list(range(len(leaves))))
        keys = sorted(order, key=order.__getitem__)
    specs = []
    for key, name, leaf in zip(keys, signature_names(keys, "input"), leaves, strict=True):
        known = hasattr(leaf, "shape") and hasattr(leaf, "dtype")
        leaf = leaf if known else np.asarray(leaf)
        symbolic = isinstance(leaf, keras.KerasTensor)
        shape, dtype = tuple(leaf.shape), keras.backend.standardize_dtype(leaf.dtype)
        if not symbolic and dtype == "float64":
            dtype = "float32"  # NumPy's default type, which Keras would cast as well
        if not shape or None in shape[1:]:
            raise ValueError(
                "A .tflite file has fixed shapes: the inputs' axes must all have a size, but for the batch. Build the "
                f"model with such a keras.Input. Received: input {name!r} of shape {shape}"
            )
        if symbolic and shape[0] not in (None, batch):
            raise ValueError(
                f"The model is built for batches of {shape[0]}: pass batch_size={shape[0]}. "
                f"Received: batch_size={batch} for input {name!r} of shape {shape}"
            )
        specs.append(Input(name, key, shape[1:], dtype))
    return tuple(specs)


def signature_names(keys: Sequence[str], default: str) -> list[str]:
    """Names for a signature: Python identifiers, all different.

    Names that Keras counted up (`keras_tensor_17`) differ from run to run; these become `input_0`, `input_1`,
    ...
    """
    names: list[str] = []
    for i, key in enumerate(keys):
        automatic = not key or re.fullmatch(r"(keras_tensor|input_layer)(_\d+)?(CLONE)?", key)
        name = f"{default}_{i}" if automatic else re.sub(r"\W", "_", key, flags=re.ASCII)
        if name[0].isdigit() or keyword.iskeyword(name):
            name = f"{default}_{name}"
        while name in names:
            name += "_"
        names.append(name)
    return names


def standardize(structure: Any, specs: Sequence[Input], inputs: Any, called: str = "inputs") -> list[np.ndarray]:
    """The user's `inputs` as one checked array per input of the model, in flattened order.

    Raises:
        ValueError: They do not have the form of the model's inputs.
    """
    flat_list = isinstance(structure, list | tuple) and len(structure) == len(specs)
    if isinstance(inputs, Mapping) and not isinstance(structure, Mapping) and (flat_list or len(specs) == 1):
        # Keras lets one pass a dict by names to a model with a list of inputs; so do we.
        for names in ([spec.key for spec in specs], [spec.name for spec in specs]):
            if set(names) == set(inputs):
                values = [inputs[name] for name in names]
                break
        else:
            raise ValueError(f"`{called}` must name {[spec.name for spec in specs]}. Received: {list(inputs)}")
    elif len(specs) == 1 and not isinstance(inputs, Mapping):
        values = list(inputs) if is_list_of_batches(inputs, 1 + len(specs[0].shape)) else [inputs]
    else:
        if flat_list and isinstance(inputs, list | tuple):
            inputs = type(structure)(inputs)  # a tuple for a list, or the other way round, is no difference
        values = _same_form(structure, specs, inputs, called)
    if len(values) != len(specs):
        raise ValueError(f"`{called}` must hold {[spec.name for spec in specs]}. Received: {len(values)} arrays")
    pairs = zip(specs, values, strict=True)
    batches = [as_batch(value, spec.shape, spec.dtype, spec.key) for spec, value in pairs]
    same_length(batches)
    return batches


def _same_form(structure: Any, specs: Sequence[Input], inputs: Any, called: str) -> list[Any]:
    import keras

    try:
        keras.tree.assert_same_structure(structure, inputs)
    except (TypeError, ValueError) as error:
        form = keras.tree.pack_sequence_as(structure, [spec.name for spec in specs])
        received = keras.tree.map_structure(lambda leaf: getattr(leaf, "shape", type(leaf).__name__), inputs)
        raise ValueError(
            f"`{called}` must be nested as the model's inputs are: {form}. Received: {received}"
        ) from error
    return keras.tree.flatten(inputs)


def invent(model: "keras.Model", specs: Sequence[Input], samples: int) -> list[np.ndarray]:
    """Inputs from a seeded generator: standard normal numbers, or ids that every Embedding layer knows.

    Raises:
        ValueError: An input's values cannot be guessed.
    """
    import keras

    rng = np.random.default_rng(_SEED)
    embeddings = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)]
    vocabulary = min((layer.input_dim for layer in embeddings), default=0)
    # Keras's default input type is float32, for ids as well: these go straight into an Embedding.
    direct = {id(tensor) for layer in embeddings for node in layer._inbound_nodes for tensor in node.input_tensors}
    floating = [np.dtype(spec.dtype).kind not in "iu" for spec in specs]
    has_ids = [not f or id(tensor) in direct for f, tensor in zip(floating, model.inputs, strict=True)]
    if embeddings and not any(has_ids):
        raise ValueError(
            "Cannot tell which input holds the ids for the Embedding layers: pass real ones as `inputs`. "
            f"Received: inputs=None for {[spec.key for spec in specs]}"
        )
    batches = []
    for spec, ids in zip(specs, has_ids, strict=True):
        shape = (samples, *spec.shape)
        if spec.dtype == "bool":
            batches.append(rng.random(shape) < 0.5)
        elif spec.dtype in ("uint8", "int8") and not vocabulary:  # pixels: any value will do
            batches.append(rng.integers(0, np.iinfo(spec.dtype).max + 1, shape).astype(spec.dtype))
        elif ids and vocabulary:
            batches.append(rng.integers(0, vocabulary, shape).astype(spec.dtype))
        elif ids:
            raise ValueError(
                "Cannot guess the range of integers that feed no Embedding: pass real ones as `inputs`. "
                f"Received: inputs=None for {spec.key!r} of dtype {spec.dtype}"
            )
        else:
            batches.append(rng.standard_normal(shape).astype(spec.dtype))
    return batches


def layers_of(model: "keras.Model") -> list["keras.Layer"]:
    """All layers of a model, those inside other layers too."""
    return list(model._flatten_layers(include_self=False, recursive=True))
