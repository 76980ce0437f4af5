"""Functions and layers that map each entry of a tensor alone: known ones by identity, others by tracing them.

A function is called on a symbolic tensor; all operations that it makes must map entries alone. What depends on the
number of channels, or differs from one to the next, is found on numbers: some channels alone must give what they give
among the others.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_prune import _keras

_OPERATIONS = {
    "nn": """
        Relu Relu6 Sigmoid SparseSigmoid Softplus Softsign SoftShrink SparsePlus Silu Squareplus LogSigmoid LeakyRelu
        HardSigmoid HardSilu Elu Selu Gelu Celu TanhShrink HardTanh HardShrink Threshold Polar
    """,
    "numpy": """
        Absolute Abs Add Angle Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh BitwiseAnd BitwiseInvert
        BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor Cbrt Ceil Clip Conj Conjugate Copy Cos Cosh
        Deg2rad Divide
        DivideNoNan Equal Exp Exp2 Expm1 Fabs Floor FloorDivide Fmax Fmin Fmod FullLike Gcd Greater GreaterEqual
        Heaviside Hypot I0 Imag Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Lcm Ldexp LeftShift Less LessEqual
        Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot LogicalOr LogicalXor Maximum Minimum Mod
        Multiply NanToNum Negative Nextafter NotEqual OnesLike Power Rad2deg Real Reciprocal RightShift Round Select
        Sign Signbit Sin Sinc Sinh Sqrt Square Subtract Tan Tanh TrueDivide Trunc Where ZerosLike
    """,
    "core": "Cast ConvertToTensor SaturateCast StopGradient",
    "math": "Erf Erfc Erfinv Rsqrt",
}
# The operations of `keras.ops` that map each entry alone, by module and class.
OPERATIONS = tuple(f"{module}.{name}" for module, names in _OPERATIONS.items() for name in names.split())
_CLASSES = frozenset([*_keras.operation_classes(*OPERATIONS), *_keras.activation_classes("ReLU", "Mish")])
# Functions of the backends, which take no symbolic tensors of Keras.
_NN = (
    "celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh hardsigmoid hardswish hardtanh leaky_relu log_sigmoid "
    "logsigmoid mish relu relu6 selu sigmoid silu soft_sign softplus softsign squareplus swish tanh"
)
_MATH = "abs cos exp sigmoid sign sin sqrt square tanh"
_BACKENDS = {
    "tensorflow": {"nn": _NN, "math": _MATH, "": _MATH},
    "jax": {"nn": _NN, "numpy": _MATH, "lax": "abs cos exp logistic sin square tanh"},
    "torch": {"nn.functional": _NN, "": f"{_MATH} relu selu celu"},
}
_SIZE = 11  # of a tensor to try functions on: no array of theirs is likely to have it


def is_entrywise(function: Callable[..., Any]) -> bool:
    """Whether a function maps each entry of a tensor alone, as far as that can be seen."""
    if any(function is known for known in _of_backends()):
        return True
    if isinstance(function, keras.Layer):  # calling it would leave traces in it
        return False
    try:
        symbolic = traces(function, (2, 3, _SIZE))
    except Exception:  # it takes no symbolic tensors: a function of the backend, or one that is not made for this
        return _is_seen_alone(function)
    try:
        if not symbolic:
            return False
        given = np.random.default_rng(0).normal(size=(2, 3, _SIZE)).astype("float32")
        whole = ops.convert_to_numpy(function(ops.convert_to_tensor(given)))
        for kept in parts(_SIZE):
            alone = ops.convert_to_numpy(function(ops.convert_to_tensor(given[..., kept])))
            if not same(alone, whole[..., kept]):
                return False
    except Exception:  # whatever a function raises that is not made for this
        return False
    return True


def _is_seen_alone(function: Callable[..., Any]) -> bool:
    """Whether a function is seen on numbers to map each entry alone: changing one changes nothing else.

    Numbers small and large, of one sign and of both, are tried, and changes that become the largest of all: a function
    that divides by a norm, or looks at a sum, is seen by that.
    """
    random = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        try:
            for size in (0.1, 1.0, 30.0):
                drawn = random.normal(size=(2, 3, _SIZE)).astype("float32") * size
                if not all(
                    _maps_alone(function, given, size, random) for given in (drawn, np.abs(drawn), -np.abs(drawn))
                ):
                    return False
        except Exception:  # whatever a function raises that is not made for this
            return False
    return True


def _maps_alone(function: Callable[..., Any], given: np.ndarray, size: float, random: np.random.Generator) -> bool:
    def values(array: np.ndarray) -> np.ndarray:
        return np.asarray(ops.convert_to_numpy(function(ops.convert_to_tensor(array))))

    whole = values(given)
    if whole.shape != given.shape or not same(values(given[:1]), whole[:1]):
        return False
    if not all(same(values(given[..., kept]), whole[..., kept]) for kept in parts(_SIZE)):
        return False
    for change in (0.0, 300.0 * size, -300.0 * size):
        place = tuple(random.integers(0, given.shape))
        moved, others = given.copy(), np.ones(given.shape, bool)
        moved[place], others[place] = change, False
        if not same(values(moved)[others], whole[others]):
            return False
    return True


def parts(size: int) -> list[np.ndarray]:
    """Two sets of some channels each, in which each channel is once."""
    return [np.arange(0, size, 2), np.arange(1, size, 2)] if size > 1 else []


def same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two arrays agree except for rounding."""
    return first.shape == second.shape and np.allclose(first, second, rtol=1e-5, atol=1e-6, equal_nan=True)


def traces(function: Callable[..., Any], shape: tuple[int | None, ...], dtype: str = "float32", count: int = 1) -> bool:
    """Whether a function of `count` tensors of a shape makes one of the same shape by operations that map entries
    alone."""
    given = [keras.KerasTensor(shape, dtype=dtype) for _ in range(count)]
    made = function(*given)
    if not isinstance(made, keras.KerasTensor) or tuple(made.shape) != tuple(shape):
        return False
    operations: list[Any] = []
    return _reads(made, {id(each): True for each in given}, operations) and all(map(_keeps_entries, operations))


def joins_entries(function: Callable[..., Any], shape: tuple[int | None, ...], dtype: str, count: int) -> bool:
    """Whether a function of several tensors of one shape joins their entries at each place alone, as a gate does."""
    random = np.random.default_rng(0)
    given = [random.normal(size=[size or 2 for size in shape]).astype("float32") for _ in range(count)]

    def values(arrays: list[np.ndarray]) -> np.ndarray:
        made = function(*(ops.cast(ops.convert_to_tensor(each), dtype) for each in arrays))
        return np.asarray(ops.convert_to_numpy(ops.cast(made, "float32")))

    try:
        if shape[-1] is None or not traces(function, shape, dtype, count):
            return False
        whole = values(given)
        return all(same(values([each[..., kept] for each in given]), whole[..., kept]) for kept in parts(shape[-1]))
    except Exception:  # whatever a function raises that is not made for this
        return False


def _reads(tensor: keras.KerasTensor, known: dict[int, bool], operations: list[Any]) -> bool:
    """Whether a tensor depends on the given one; adds the operations between them.

    What is made of weights alone may be made in any way: it is compared on numbers.
    """
    if id(tensor) not in known:
        made = _keras.made_by(tensor)
        before = [] if made is None else [_reads(each, known, operations) for each in made[1].arguments.keras_tensors]
        known[id(tensor)] = any(before)
        if made is not None and any(before):
            operations.append(made[0])
    return known[id(tensor)]


def _keeps_entries(operation: Any) -> bool:
    if type(operation) is keras.layers.Activation:
        return operation.activation in (None, keras.activations.linear) or is_entrywise(operation.activation)
    if type(operation) is keras.layers.Dropout:
        return operation.noise_shape is None
    return type(operation) in _CLASSES or type(operation) is keras.layers.Identity


def _of_backends() -> Iterator[Any]:
    for backend, modules in _BACKENDS.items():
        for path, names in modules.items():
            module = sys.modules.get(backend)
            for part in path.split(".") if path else ():
                module = getattr(module, part, None)
            yield from (getattr(module, name) for name in names.split() if hasattr(module, name))
