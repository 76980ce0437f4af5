"""The inputs and outputs of a file: which arrays it takes, and what its integers stand for. Nothing here runs it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tflite_export.arrays import as_batch, is_list_of_batches, parts, same_length
from tflite_export.reader.flatbuffer import Graph, Model

AT_ONCE = 32  # samples in a call of a file whose batch is not fixed


def quantize(values: np.ndarray, scale: float, zero_point: int, dtype: str) -> np.ndarray:
    """Quantize real numbers: `values / scale + zero_point`, rounded and clipped.

    Ties go to even integers, as XNNPACK rounds them.

    Raises:
        ValueError: A value is NaN.
    """
    if np.isnan(values).any():
        raise ValueError(f"A quantized input must hold numbers. Received: {np.isnan(values).sum()} values are NaN")
    limits = np.iinfo(dtype)
    integers = np.rint(values.astype("float32") / np.float32(scale)).astype("float64") + zero_point
    return np.clip(integers, limits.min, limits.max).astype(dtype)


def dequantize(integers: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Return the real numbers, float32, of quantized integers: `scale * (integers - zero_point)`."""
    return (integers.astype("float64") - zero_point).astype("float32") * np.float32(scale)


class Ports:
    """Inputs and outputs of a file.

    Args:
        inputs: What LiteRT's interpreter says of each input (`get_input_details`).
        outputs: What it says of each output.
    """

    def __init__(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]):
        self._inputs, self._outputs = inputs, outputs

    @classmethod
    def of(cls, model: Model) -> "Ports":
        """Return the ports of a file that was read: no interpreter need be able to load it.

        Raises:
            ValueError: NumPy does not know the type of one.
        """
        graph, (reads, writes) = model.graphs[0], model.names()
        inputs = [_detail(graph, place, name) for place, name in zip(graph.inputs.tolist(), reads, strict=True)]
        outputs = [_detail(graph, place, name) for place, name in zip(graph.outputs.tolist(), writes, strict=True)]
        return cls(inputs, outputs)

    def names(self) -> list[str]:
        """Return the inputs' names."""
        return [detail["name"] for detail in self._inputs]

    @property
    def batch(self) -> int | None:
        """How many samples the file takes at a time; None if as many as it is given.

        Raises:
            ValueError: Its inputs have no batch axis in common.
        """
        axes = [[int(size) for size in detail["shape_signature"]] for detail in self._inputs]
        fixed = {axis[0] for axis in axes if axis and axis[0] >= 0}
        if len(fixed) > 1 or not all(axes):
            named = dict(zip(self.names(), axes, strict=True))
            raise ValueError(f"The file's inputs must have the same batch size. Received: inputs of shapes {named}")
        return fixed.pop() if fixed else None

    def calls(self, batches: Sequence[np.ndarray], sizes: Sequence[int]) -> list[list[np.ndarray]]:
        """Return the inputs of each call, of so many samples each, those of a fixed batch filled up."""
        return parts(batches, sizes, self.batch)

    def real(self, outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return outputs as real numbers, from those that the file stores."""
        return [
            output if (scale := _scale(detail)) is None else dequantize(output, *scale)
            for output, detail in zip(outputs, self._outputs, strict=True)
        ]

    def zeros(self) -> list[np.ndarray]:
        """Return inputs for one call that every file accepts: zeros, or the zero points."""
        return [
            np.full(detail["shape"], 0 if (scale := _scale(detail)) is None else scale[1], detail["dtype"])
            for detail in self._inputs
        ]

    def synthetic_inputs(self, seed: int = 0) -> list[np.ndarray]:
        """Return inputs for one call: normal numbers, any quantized integers, ids that are 0."""
        rng, values = np.random.default_rng(seed), self.zeros()
        for place, detail in enumerate(self._inputs):
            dtype = np.dtype(detail["dtype"])
            if dtype.kind == "f":
                values[place] = rng.standard_normal(detail["shape"]).astype(dtype)
            elif _scale(detail) is not None:
                limits = np.iinfo(dtype)
                values[place] = rng.integers(limits.min, limits.max, detail["shape"], dtype, endpoint=True)
        return values

    def batches(self, inputs: Any) -> list[np.ndarray]:
        """Return the user's inputs as one array per input of the file, of the type that it stores. See `predict`."""
        names, rank = self.names(), len(self._inputs[0]["shape"])
        _ = self.batch  # whether there is a batch axis at all
        if isinstance(inputs, Mapping):
            if set(inputs) != set(names):
                raise ValueError(f"The file's inputs are {names}. Received: a dict of {list(inputs)}")
            values = [inputs[name] for name in names]
        elif len(names) > 1 or is_list_of_batches(inputs, rank):
            values = list(inputs)
        else:
            values = [inputs]
        if len(values) != len(names):
            raise ValueError(f"The file's inputs are {names}. Received: {len(values)} arrays")
        triples = zip(values, self._inputs, names, strict=True)
        batches = [_as_stored(value, detail, name) for value, detail, name in triples]
        same_length(batches)
        return batches


def _scale(detail: Mapping[str, Any]) -> tuple[float, int] | None:
    """Scale and zero point of an input or output that is quantized."""
    parameters = detail["quantization_parameters"]
    if np.dtype(detail["dtype"]).kind not in "iu" or len(parameters["scales"]) != 1:
        return None
    return float(parameters["scales"][0]), int(parameters["zero_points"][0])


def _as_stored(value: Any, detail: Mapping[str, Any], name: str) -> np.ndarray:
    """A batch of the tensor's own type, from real numbers if it is quantized."""
    shape, dtype, scale = detail["shape"][1:].tolist(), np.dtype(detail["dtype"]).name, _scale(detail)
    given = np.asarray(value).dtype
    if scale is None or given.name == dtype:
        return as_batch(value, shape, dtype, name)
    if given.kind != "f":
        raise ValueError(
            f"The input {name!r} is quantized: it takes floating-point numbers, or {dtype} that are quantized "
            f"already. Received: dtype {given}"
        )
    return quantize(as_batch(value, shape, "float32", name), *scale, dtype)


def _detail(graph: Graph, place: int, name: str) -> dict[str, Any]:
    """What LiteRT's interpreter would say of a tensor, as far as it is used here."""
    tensor = graph.tensors[place]
    if tensor.dtype in ("string", "resource", "variant") or not hasattr(np, tensor.dtype):
        raise ValueError(f"The inputs and outputs of the file must hold numbers. Received: {name!r} of {tensor.dtype}")
    points = tensor.zero_points if len(tensor.zero_points) else np.zeros(len(tensor.scales), "int64")
    return {
        "name": name,
        "shape": np.array([abs(size) for size in tensor.shape], "int32"),  # 1 where it is free
        "shape_signature": np.array(tensor.shape, "int32"),
        "dtype": np.dtype(tensor.dtype).type,
        "quantization_parameters": {"scales": tensor.scales, "zero_points": points},
    }
