"""Functions of the backends, `tf.*`, `jnp.*` and `torch.*`, as operations of `keras.ops`.

A function is found by its name in its module, `"nn.relu"` of TensorFlow. Those of the same name and meaning in
`keras.ops` need no entry here: only the names of their arguments differ. Whether the meaning is the same in the case at
hand is seen in the end, when the model and what was made of it are compared.
"""

import string
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Function = Callable[..., Any]

# What the first argument is called, and what other arguments are called in `keras.ops`; None: it means nothing here.
FIRST = (
    "input",
    "input_tensor",
    "inputs",
    "x",
    "a",
    "tensor",
    "tensors",
    "values",
    "value",
    "features",
    "logits",
    "images",
)
RENAMED: dict[str, str | None] = {
    "name": None,
    "out": None,
    "inplace": None,
    "precision": None,
    "preferred_element_type": None,
    "dim": "axis",
    "dims": "axis",
    "keepdim": "keepdims",
    "keep_dims": "keepdims",
}


def dtype_name(dtype: Any) -> str:
    """The name of a type of any backend."""
    return str(keras.backend.standardize_dtype(getattr(dtype, "__name__", None) or getattr(dtype, "name", dtype)))


def ints(shape: Any) -> tuple[int, ...]:
    """A shape that may hold, or be, arrays of whole numbers."""
    if isinstance(shape, int | np.integer):
        return (int(shape),)
    return tuple(int(size) for size in (shape if isinstance(shape, list | tuple) else np.asarray(shape).tolist()))


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    a = ops.swapaxes(a, -1, -2) if transpose_a else a
    return ops.matmul(a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def _split_tf(value: Any, num_or_size_splits: Any, axis: int = 0, num: int | None = None) -> Any:
    if isinstance(num_or_size_splits, int):
        return ops.split(value, num_or_size_splits, axis=axis)
    return ops.split(value, [int(end) for end in np.cumsum(ints(num_or_size_splits))[:-1]], axis=axis)


def _split_torch(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    if not isinstance(split_size_or_sections, int):
        return _split_tf(tensor, split_size_or_sections, dim)
    ends = range(split_size_or_sections, tensor.shape[dim], split_size_or_sections)
    return ops.split(tensor, list(ends), axis=dim)


def _chunk(tensor: Any, chunks: int, dim: int = 0) -> Any:
    return _split_torch(tensor, -(-tensor.shape[dim] // chunks), dim)


def _flatten(tensor: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    shape = tuple(tensor.shape)
    end = end_dim % len(shape)
    return ops.reshape(tensor, (*shape[:start_dim], -1, *shape[end + 1 :]))


def _pad_tf(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: float = 0) -> Any:
    mode = mode.lower()
    widths = [tuple(int(width) for width in pair) for pair in np.asarray(paddings).tolist()]
    return ops.pad(tensor, widths, mode=mode, **({"constant_values": constant_values} if mode == "constant" else {}))


def _patches(images: Any, sizes: Sequence[int], strides: Sequence[int], rates: Sequence[int], padding: str) -> Any:
    given = {"strides": tuple(strides[1:3]), "dilation_rate": rates[1], "padding": padding.lower()}
    return ops.image.extract_patches(images, tuple(sizes[1:3]), **given)


def _resize(images: Any, size: Any, method: Any = "bilinear", antialias: bool = False, **_: Any) -> Any:
    return ops.image.resize(
        images, ints(size), interpolation=str(getattr(method, "value", method)), antialias=antialias
    )


def _gather(params: Any, indices: Any, axis: Any = None, batch_dims: int = 0, **_: Any) -> Any:
    if batch_dims:
        if axis not in (None, batch_dims) or not len(params.shape) == len(indices.shape) == batch_dims + 1:
            raise NotImplementedError("tf.gather with these `batch_dims` has no counterpart in keras.ops")
        return ops.take_along_axis(params, indices, axis=batch_dims)
    return ops.take(params, indices, axis=0 if axis is None else int(axis))


def _l2_normalize(x: Any, axis: Any = -1, epsilon: float = 1e-12) -> Any:
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), epsilon))


def _moments(x: Any, axes: Any, keepdims: bool = False, **_: Any) -> Any:
    return ops.mean(x, axis=axes, keepdims=keepdims), ops.var(x, axis=axes, keepdims=keepdims)


def _conv2d(input: Any, filters: Any, strides: Any, padding: str, data_format: Any = None, dilations: Any = 1) -> Any:
    middle = [
        tuple(each[1:3]) if isinstance(each, list | tuple) and len(each) == 4 else each for each in (strides, dilations)
    ]
    return ops.conv(input, filters, strides=middle[0], padding=padding.lower(), dilation_rate=middle[1])


def _pooled(kind: Function) -> Function:
    def pool(input: Any, ksize: Any, strides: Any, padding: str, data_format: Any = None) -> Any:
        middle = [
            tuple(each[1:3]) if isinstance(each, list | tuple) and len(each) == 4 else each for each in (ksize, strides)
        ]
        return kind(input, middle[0], strides=middle[1], padding=padding.lower())

    return pool


def _einsum(equation: str, *inputs: Any, **_: Any) -> Any:
    """Keras (3.15) takes small letters alone, and no spaces, of symbolic tensors."""
    equation = equation.replace(" ", "")
    small = [letter for letter in string.ascii_lowercase if letter not in equation]
    names = {letter: small.pop() for letter in dict.fromkeys(equation) if letter.isupper()}
    return ops.einsum("".join(names.get(letter, letter) for letter in equation), *inputs)


def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    made = ops.matmul(input, ops.transpose(weight))
    return made if bias is None else made + bias


def _layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    axes = tuple(range(-len(ints(normalized_shape)), 0))
    centred = input - ops.mean(input, axis=axes, keepdims=True)
    made = centred * ops.rsqrt(ops.mean(ops.square(centred), axis=axes, keepdims=True) + eps)
    made = made if weight is None else made * weight
    return made if bias is None else made + bias


TENSORFLOW: dict[str, Function] = {
    "einsum": _einsum,
    "shape": lambda input, out_type=None: tuple(input.shape),
    "rank": lambda input: len(input.shape),
    "reshape": lambda tensor, shape: ops.reshape(tensor, ints(shape)),
    "concat": lambda values, axis: ops.concatenate(values, axis=axis),
    "transpose": lambda a, perm=None, conjugate=False: ops.transpose(a, None if perm is None else ints(perm)),
    "matmul": _matmul,
    "linalg.matmul": _matmul,
    "reduce_mean": ops.mean,
    "reduce_sum": ops.sum,
    "reduce_max": ops.max,
    "reduce_min": ops.min,
    "reduce_prod": ops.prod,
    "reduce_any": ops.any,
    "reduce_all": ops.all,
    "reduce_logsumexp": ops.logsumexp,
    "reduce_std": ops.std,
    "reduce_variance": ops.var,
    "split": _split_tf,
    "gather": _gather,
    "pad": _pad_tf,
    "tile": lambda input, multiples: ops.tile(input, ints(multiples)),
    "cast": lambda x, dtype: ops.cast(x, dtype_name(dtype)),
    "broadcast_to": lambda input, shape: ops.broadcast_to(input, ints(shape)),
    "pow": ops.power,
    "reverse": lambda tensor, axis: ops.flip(tensor, tuple(ints(axis))),
    "clip_by_value": ops.clip,
    "identity": lambda input: input,
    "stop_gradient": ops.stop_gradient,
    "convert_to_tensor": lambda value, dtype=None, **_: value if dtype is None else ops.cast(value, dtype_name(dtype)),
    "image.extract_patches": _patches,
    "image.resize": _resize,
    "nn.conv2d": _conv2d,
    "nn.max_pool2d": _pooled(ops.max_pool),
    "nn.avg_pool2d": _pooled(ops.average_pool),
    "nn.bias_add": lambda value, bias, data_format=None: value + bias,
    "nn.moments": _moments,
    "nn.l2_normalize": _l2_normalize,
    "math.l2_normalize": _l2_normalize,
    "linalg.l2_normalize": _l2_normalize,
    "nn.swish": lambda features, beta=1.0: features * ops.sigmoid(features * beta),
    "nn.silu": lambda features, beta=1.0: features * ops.sigmoid(features * beta),
    "nn.gelu": lambda features, approximate=False: ops.gelu(features, approximate=approximate),
    "nn.leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, negative_slope=alpha),
    "nn.softmax": lambda logits, axis=None: ops.softmax(logits, axis=-1 if axis is None else axis),
    "nn.log_softmax": lambda logits, axis=None: ops.log_softmax(logits, axis=-1 if axis is None else axis),
}
JAX: dict[str, Function] = {
    "einsum": _einsum,
    "shape": lambda a: tuple(a.shape),
    "reshape": lambda a, shape, **_: ops.reshape(a, ints(shape)),
    "asarray": lambda a, dtype=None, **_: a if dtype is None else ops.cast(a, dtype_name(dtype)),
    "array": lambda a, dtype=None, **_: a if dtype is None else ops.cast(a, dtype_name(dtype)),
    "astype": lambda x, dtype: ops.cast(x, dtype_name(dtype)),
    "broadcast_to": lambda array, shape: ops.broadcast_to(array, ints(shape)),
    "stop_gradient": ops.stop_gradient,
    "gelu": lambda x, approximate=True: ops.gelu(x, approximate=approximate),
    "leaky_relu": lambda x, negative_slope=0.01: ops.leaky_relu(x, negative_slope=negative_slope),
    "logistic": ops.sigmoid,
    "swish": ops.silu,
    "integer_pow": ops.power,
}
TORCH: dict[str, Function] = {
    "einsum": _einsum,
    "reshape": lambda input, shape: ops.reshape(input, ints(shape)),
    "cat": lambda tensors, dim=0: ops.concatenate(tensors, axis=dim),
    "concat": lambda tensors, dim=0: ops.concatenate(tensors, axis=dim),
    "permute": lambda input, dims: ops.transpose(input, ints(dims)),
    "transpose": lambda input, dim0, dim1: ops.swapaxes(input, dim0, dim1),
    "swapaxes": lambda input, axis0, axis1: ops.swapaxes(input, axis0, axis1),
    "unsqueeze": lambda input, dim: ops.expand_dims(input, dim),
    "bmm": ops.matmul,
    "pow": ops.power,
    "clamp": lambda input, min=-np.inf, max=np.inf: ops.clip(input, min, max),
    "split": _split_torch,
    "chunk": _chunk,
    "flatten": _flatten,
    "linear": _linear,
    "layer_norm": _layer_norm,
    "gelu": lambda input, approximate="none": ops.gelu(input, approximate=approximate == "tanh"),
    "leaky_relu": lambda input, negative_slope=0.01, inplace=False: ops.leaky_relu(
        input, negative_slope=negative_slope
    ),
    "normalize": lambda input, p=2.0, dim=1, eps=1e-12: (
        input / ops.maximum(ops.norm(input, ord=p, axis=dim, keepdims=True), eps)
    ),
    "std": lambda input, dim=None, correction=1, keepdim=False: _deviation(input, dim, correction, keepdim),
}


def _deviation(input: Any, dim: Any, correction: int, keepdim: bool) -> Any:
    axes = range(len(input.shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
    count = int(np.prod([input.shape[axis] for axis in axes]))
    return ops.sqrt(ops.var(input, axis=dim, keepdims=keepdim) * (count / (count - correction)))


TABLES = {"tensorflow": TENSORFLOW, "jax": JAX, "torch": TORCH}
_PREFIXES = ("math.", "nn.", "linalg.", "numpy.", "lax.", "functional.", "nn.functional.", "special.")


def counterpart(family: str, name: str) -> Function | None:
    """Return what a function of a backend is called on symbolic tensors.

    Args:
        family: `"tensorflow"`, `"jax"` or `"torch"`.
        name: The function's name in the module, `"nn.relu"`.

    Returns:
        A function that takes the same arguments; None: there is none.
    """
    short = name.rsplit(".", 1)[-1]
    table = TABLES[family]
    found = table.get(name) or (None if family == "tensorflow" else table.get(short))
    if found is None and any(name == f"{prefix}{short}" for prefix in ("", *_PREFIXES)):
        found = table.get(short) if family == "tensorflow" else None
        found = found or getattr(ops, short, None)
    return None if found is None else _called_with_names(found)


def _called_with_names(function: Function) -> Function:
    """The function, for calls with the names of arguments that the backends have."""

    def call(*args: Any, **kwargs: Any) -> Any:
        renamed = {key: RENAMED.get(key, key) for key in kwargs}
        named = {new: kwargs[key] for key, new in renamed.items() if new is not None}
        named = {
            key: dtype_name(value) if key == "dtype" and value is not None else value for key, value in named.items()
        }
        first = next((key for key in FIRST if key in named), None) if not args else None
        args = args if first is None else (named.pop(first),)
        try:
            return function(*args, **named)
        except TypeError:
            return function(*args, **{key: value for key, value in kwargs.items() if key != "name"})

    return call
