"""`check_sparse_speed`: which kernels run faster because of their zeros, and which only make a smaller file."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tflite_export.conversion.modes import MODES
from tflite_export.conversion.sparse import IN_BLOCKS, WORTH, reason_against
from tflite_export.keras_models.kernels import Kernel, kernels_of
from tflite_export.keras_models.xnnpack_sparse import ENOUGH, obstacles
from tflite_export.preparation import prepare
from tflite_export.reader.weight_tables import shape_text
from tflite_export.reporting import Bars, Report, Shown, Table

if TYPE_CHECKING:
    import keras

FLOAT = "LiteRT float32"
INTEGER = "LiteRT int8"
CONVOLUTION = "XNNPACK on ARM and WebAssembly, float32"

# From which sparsity LiteRT's block-sparse kernels are faster than its dense ones, measured on large layers on x86.
_BREAK_EVEN = 0.62
_BREAK_EVEN_INT8 = 0.86  # its dense int8 kernel is fast: with 75% zeros the sparse one took 1.8 times as long


@dataclass(frozen=True)
class KernelSpeed(Shown):
    """Effect of the zeros of one kernel.

    Attributes:
        layer: The name of its layer.
        shape: Its shape in Keras.
        sparsity: The fraction that is zero.
        in_blocks: The fraction of the zeros of a Dense kernel that stand in whole blocks of four inputs; 0 for others.
        faster_on: The runtimes that skip its zeros and are faster for it.
        smaller: Whether a file without its zeros is smaller.
        advice: What to change to make it faster; "" if nothing.
    """

    layer: str
    shape: tuple[int, ...]
    sparsity: float
    in_blocks: float
    faster_on: tuple[str, ...]
    smaller: bool
    advice: str

    @property
    def effect(self) -> Literal["faster", "smaller", "nothing"]:
        """The effect of the zeros."""
        return "faster" if self.faster_on else "smaller" if self.smaller else "nothing"


@dataclass(frozen=True)
class SparseSpeed(Report):
    """Report of the effect of zeros, kernel by kernel.

    Attributes:
        kernels: One entry for each kernel.
        obstacles: What prevents sparse 1x1 convolutions in XNNPACK; empty also for a model without 1x1 convolutions.
    """

    kernels: tuple[KernelSpeed, ...]
    obstacles: tuple[str, ...]

    def _tables(self) -> list[Table]:
        headings = ("Kernel", "Shape", "Zeros", "Zeros in 1x4 blocks", "Effect")
        rows = [
            (k.layer, shape_text(k.shape), f"{k.sparsity:.1%}", f"{k.in_blocks:.0%}", k.effect) for k in self.kernels
        ]
        return [Table(headings, rows)]

    def _notes(self) -> list[str]:
        lines = [
            f"{kernel.layer}: faster on {' and '.join(kernel.faster_on)}" for kernel in self.kernels if kernel.faster_on
        ]
        lines += [f"{kernel.layer}: {kernel.advice}" for kernel in self.kernels if kernel.advice]
        if self.obstacles:
            lines += ["In the way of sparse 1x1 convolutions on ARM and WebAssembly:"]
            lines += [f"  {line}" for line in self.obstacles]
        return lines

    def _rows(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(kernel) | {"effect": kernel.effect} for kernel in self.kernels]

    def _facts(self) -> Mapping[str, Any]:
        return {"obstacles": self.obstacles}

    def _bars(self) -> Bars:
        values = {
            "zeros": [kernel.sparsity for kernel in self.kernels],
            "zeros in 1x4 blocks": [kernel.sparsity * kernel.in_blocks for kernel in self.kernels],
        }
        return Bars(
            "Zeros of each kernel", "fraction of its weights", [kernel.layer for kernel in self.kernels], values
        )


def check_sparse_speed(model: "keras.Model") -> SparseSpeed:
    """Report which layers of a model run faster because of their zeros, on which runtime, and which only shrink.

    Zeros at single places make a file smaller (`export(sparse=True)`, or any file once it is packed) and no faster.
    There are three exceptions, which are searched for in the kernels:

    - Dense layers with zeros in blocks of four inputs (`keras_prune.LITERT_1X4`), in float32 with `sparse=True`: LiteRT
      skips them on every processor, and gains from about 62% zeros on.
    - The same in int8 with blocks of sixteen (`keras_prune.LITERT_1X16`), from about 86% on, if all sparse kernels have
      such blocks.
    - 1x1 convolutions on ARM and in WebAssembly (phones, browsers), never on x86, if more than two thirds of them are
      zero and the rest of the model is of a certain form (Elsen et al. 2020, "Fast sparse ConvNets").

    Nothing is converted or timed; `benchmark` tells how much faster.

    Args:
        model: A built model, with pruning masks or without.

    Returns:
        For each kernel the runtimes that gain, and what to change for others to do so.

    Raises:
        ValueError: `model` is not a built keras.Model.

    Example:

    ```python
    import keras
    import keras_prune
    import tflite_export

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(8)])
    model = keras_prune.strip_pruning(keras_prune.prune_weights(model, 0.8, selection=keras_prune.LITERT_1X4))
    print(tflite_export.check_sparse_speed(model))
    ```
    """
    import keras

    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"`model` must be a built keras.Model. Received: {model!r} of type {type(model).__name__}")
    model = prepare(model)
    kernels = kernels_of(model)
    pointwise = [kernel for kernel in kernels if kernel.pointwise]
    in_the_way = obstacles(model) if pointwise else ()
    zeros = sum(kernel.zeros for kernel in pointwise) / max(1, sum(kernel.values.size for kernel in pointwise))
    integer = not reason_against(MODES["int8"], kernels)
    rows = []
    for kernel in kernels:
        if kernel.dense:
            rows.append(_dense(kernel, integer))
        elif kernel.pointwise:
            rows.append(_pointwise(kernel, zeros, in_the_way))
        else:
            rows.append(
                _row(kernel, (), "no runtime skips its zeros; keras_prune.prune_channels removes channels instead")
            )
    return SparseSpeed(tuple(rows), in_the_way)


def _row(kernel: Kernel, faster_on: Sequence[str], advice: str) -> KernelSpeed:
    smaller, blocks = kernel.sparsity >= WORTH, kernel.zero_blocks(4)
    return KernelSpeed(kernel.layer, kernel.values.shape, kernel.sparsity, blocks, tuple(faster_on), smaller, advice)


def _dense(kernel: Kernel, integer: bool) -> KernelSpeed:
    """A fully connected layer. `integer`: LiteRT runs the model's int8 file without its zeros."""
    inputs, enough = kernel.values.shape[0], kernel.sparsity >= _BREAK_EVEN
    if inputs % 4:
        return _row(kernel, (), f"its {inputs} inputs must be a multiple of 4 for blocks")
    if kernel.zero_blocks(4) < IN_BLOCKS:
        return _row(kernel, (), f"prune with keras_prune.LITERT_1X4, to {_BREAK_EVEN:.0%} zeros or more")
    if not enough:
        return _row(kernel, (), f"prune to {_BREAK_EVEN:.0%} zeros or more: below, LiteRT's dense kernel is as fast")
    integer = integer and kernel.zero_blocks(16) == 1 and kernel.sparsity >= _BREAK_EVEN_INT8
    return _row(kernel, (FLOAT, INTEGER) if integer else (FLOAT,), "")


def _pointwise(kernel: Kernel, zeros: float, in_the_way: Sequence[str]) -> KernelSpeed:
    """A 1x1 convolution. `zeros`: the fraction of zeros in all of the model's."""
    if zeros <= ENOUGH:
        return _row(kernel, (), f"more than 2/3 of all 1x1 kernels must be zero for ARM; {zeros:.0%} are")
    return _row(kernel, (), "see what is in the way") if in_the_way else _row(kernel, (CONVOLUTION,), "")
