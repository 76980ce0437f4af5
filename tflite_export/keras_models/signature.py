"""The inputs of a Keras model: names and shapes, the data of the user, or synthetic data."""

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
    """Input of a model.

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


def checked_signature(signature: Any, batch: int | None) -> Any:
    """Return the user's signature with a `keras.InputSpec` at each place, of shape (batch, ...); None without one.

    Args:
        signature: Anything with a shape and a type at each place.
        batch: How many samples the file takes at a time; None: as many as it is given.

    Raises:
        ValueError: Something else stands at a place, or a size is unknown or not that of the batch.
    """
    import keras

    def spec_of(leaf: Any) -> Any:
        shape = getattr(leaf, "shape", None)
        if shape is None or not hasattr(leaf, "dtype") or not len(shape):
            raise ValueError(
                "`signature` must hold keras.InputSpec or keras.KerasTensor, of shapes (batch, ...). "
                f"Received: {leaf!r}"
            )
        first, *rest = shape
        if None in rest or first not in (None, batch):
            raise ValueError(
                "`signature` must give each axis a size, except the batch, which is None or `batch_size`. "
                f"Received: shape {tuple(shape)} with batch_size={batch}"
            )
        return keras.InputSpec(leaf.dtype, (first, *rest), name=getattr(leaf, "name", None))

    return None if signature is None else keras.tree.map_structure(spec_of, signature)


def build(model: "keras.Model", signature: Any) -> None:
    """Build a model for inputs of this signature, which was checked."""
    import keras

    def zeros(spec: Any) -> Any:
        return keras.ops.zeros((spec.shape[0] or 1, *spec.shape[1:]), spec.dtype)

    if isinstance(model, keras.Sequential):  # a call would fix the batch
        specs = keras.tree.flatten(signature)
        if len(specs) != 1:
            raise ValueError(f"The `signature` of a Sequential model must hold one input. Received: {len(specs)}")
        model.build(specs[0].shape)
    else:
        model(keras.tree.map_structure(zeros, signature))


def structure_of(model: "keras.Model", example: Any) -> Any:
    """Return the structure of the model's inputs: lists, tuples, dicts. Its leaves do not matter.

    A subclassed model does not know its inputs: there the user's inputs or signature show the structure.

    Raises:
        ValueError: A subclassed model without either.
    """
    import keras

    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    if getattr(model, "inputs", None):
        return model.input
    if example is None:
        raise ValueError(
            "The inputs of a subclassed model are unknown: pass some as `inputs`, or their shapes as "
            f"`signature`. Received: {type(model).__name__} with inputs=None and signature=None"
        )
    return example


def inputs_of(model: "keras.Model", structure: Any, batch: int | None, signature: Any = None) -> tuple[Input, ...]:
    """Return the model's inputs, in flattened order.

    Args:
        model: The model.
        structure: The structure of its inputs.
        batch: How many samples the file takes at a time; None: as many as it is given.
        signature: Of the user, checked; it gives the shapes and types. Defaults to None, those of the model.

    Raises:
        ValueError: An axis other than the batch has no fixed size, the model is built for another batch, or the
            signature does not fit it.
    """
    import keras

    leaves = keras.tree.flatten(structure)
    if not isinstance(structure, Mapping) or len(structure) != len(leaves):
        keys = [str(getattr(leaf, "name", "") or "") for leaf in leaves]
    else:  # a flat dict: its keys, in the order in which `flatten` takes them
        order = keras.tree.pack_sequence_as(structure, list(range(len(leaves))))
        keys = sorted(order, key=order.__getitem__)
    names = signature_names(keys, "input")
    given: list[Any] = [None] * len(leaves)
    if signature is not None:
        listed = list(signature) if isinstance(signature, list | tuple) else [signature]
        given = _in_order(structure, keys, names, signature, "signature", listed)
    specs = []
    for key, name, leaf, spec in zip(keys, names, leaves, given, strict=True):
        known = hasattr(leaf, "shape") and hasattr(leaf, "dtype")
        leaf = leaf if known else np.asarray(leaf)
        symbolic = isinstance(leaf, keras.KerasTensor)
        shape, dtype = tuple(leaf.shape), keras.backend.standardize_dtype(leaf.dtype)
        if not symbolic and dtype == "float64":
            dtype = "float32"  # NumPy's default type, which Keras would cast as well
        if symbolic and shape and shape[0] not in (None, batch):
            raise ValueError(
                f"The model is built for batches of {shape[0]}: pass batch_size={shape[0]}. "
                f"Received: batch_size={batch} for input {name!r} of shape {shape}"
            )
        if spec is not None:
            if len(spec.shape) != len(shape) or any(
                size not in (None, new) for size, new in zip(shape[1:], spec.shape[1:], strict=True)
            ):
                raise ValueError(
                    f"`signature` must fit the input {name!r} of shape {shape}. Received: shape {spec.shape}"
                )
            shape, dtype = spec.shape, spec.dtype or dtype
        if not shape or None in shape[1:]:
            raise ValueError(
                "A .tflite file has fixed shapes: all axes of the inputs except the batch must have a size. Pass "
                "`signature`, or build the model with such a keras.Input. "
                f"Received: input {name!r} of shape {shape}"
            )
        specs.append(Input(name, key, shape[1:], dtype))
    return tuple(specs)


def signature_names(keys: Sequence[str], default: str) -> list[str]:
    """Return names for a signature: Python identifiers, all different.

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
    """Return the user's `inputs` as one checked array per input of the model, in flattened order.

    Raises:
        ValueError: They do not have the structure of the model's inputs.
    """
    keys, names = [spec.key for spec in specs], [spec.name for spec in specs]
    listed = list(inputs) if is_list_of_batches(inputs, 1 + len(specs[0].shape)) else [inputs]
    values = _in_order(structure, keys, names, inputs, called, listed)
    pairs = zip(specs, values, strict=True)
    batches = [as_batch(value, spec.shape, spec.dtype, spec.key) for spec, value in pairs]
    same_length(batches)
    return batches


def _in_order(
    structure: Any, keys: Sequence[str], names: Sequence[str], nest: Any, called: str, listed: list[Any]
) -> list[Any]:
    """The leaves of a user's nest, in the order of the model's inputs. With one input these are `listed`."""
    flat_list = isinstance(structure, list | tuple) and len(structure) == len(keys)
    if isinstance(nest, Mapping) and not isinstance(structure, Mapping) and (flat_list or len(keys) == 1):
        # Keras accepts a dict by names for a model with a list of inputs; so do we.
        for known in (keys, names):
            if set(known) == set(nest):
                return [nest[name] for name in known]
        raise ValueError(f"`{called}` must name {list(names)}. Received: {list(nest)}")
    if len(keys) == 1 and not isinstance(nest, Mapping):
        values = listed
    else:
        if flat_list and isinstance(nest, list | tuple):
            nest = type(structure)(nest)  # a tuple for a list, or the other way round, is no difference
        values = _same_form(structure, names, nest, called)
    if len(values) != len(keys):
        raise ValueError(f"`{called}` must hold {list(names)}. Received: {len(values)} of them")
    return values


def _same_form(structure: Any, names: Sequence[str], inputs: Any, called: str) -> list[Any]:
    import keras

    try:
        keras.tree.assert_same_structure(structure, inputs)
    except (TypeError, ValueError) as error:
        form = keras.tree.pack_sequence_as(structure, list(names))
        received = keras.tree.map_structure(lambda leaf: getattr(leaf, "shape", type(leaf).__name__), inputs)
        raise ValueError(
            f"`{called}` must be nested as the model's inputs are: {form}. Received: {received}"
        ) from error
    return keras.tree.flatten(inputs)


def synthetic_inputs(model: "keras.Model", specs: Sequence[Input], samples: int) -> list[np.ndarray]:
    """Return inputs from a seeded generator: standard normal numbers, or ids that every Embedding layer knows.

    Raises:
        ValueError: An input's values cannot be guessed.
    """
    import keras

    rng = np.random.default_rng(_SEED)
    embeddings = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)]
    vocabulary = min((layer.input_dim for layer in embeddings), default=0)
    # Keras's default input type is float32, for ids as well: these go straight into an Embedding.
    direct = {id(tensor) for layer in embeddings for node in layer._inbound_nodes for tensor in node.input_tensors}
    tensors = getattr(model, "inputs", None) or [None] * len(specs)  # a subclassed model has no tensors
    floating = [np.dtype(spec.dtype).kind not in "iu" for spec in specs]
    has_ids = [not f or id(tensor) in direct for f, tensor in zip(floating, tensors, strict=True)]
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
    """Return all layers of a model, those inside other layers too."""
    return list(model._flatten_layers(include_self=False, recursive=True))
