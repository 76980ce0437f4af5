"""When zeros are left out of a file: what LiteRT can run, and which files get smaller by it.

A kernel of random zeros is stored as its non-zeros and their places. LiteRT expands it again when it loads the file,
so the file is smaller and nothing is faster; it takes more memory. Kernels of fully connected layers
whose zeros come in blocks of four inputs (float32), or sixteen (int8), are run without their zeros.
"""

from collections.abc import Sequence
from typing import Any

from tflite_export.conversion.modes import Mode
from tflite_export.keras_models.kernels import Kernel
from tflite_export.validation import check_choice

WORTH = 0.5  # below this sparsity, the places of the values take more bytes than the zeros did
IN_BLOCKS = 0.9  # of the zeros in blocks of four inputs: then the converter stores blocks and not single values
_BLOCK = 16


def sparse_tries(sparse: Any, mode: Mode, kernels: Sequence[Kernel], verify: bool) -> tuple[bool, ...]:
    """Return what to convert to, of which the smallest file that passes is kept: dense (False), sparse (True), or both.

    Whether a sparse file passes is unknown without a run; then it is made only with `sparse=True`.

    Raises:
        ValueError: `sparse` is none of "auto", True and False, or True where LiteRT cannot run the file.
    """
    if check_choice(sparse, "sparse", ("auto", True, False)) is False:
        return (False,)
    reason = reason_against(mode, kernels)
    if sparse is True:
        if reason:
            raise ValueError(f'{reason} Allowed: sparse=False or "auto". Received: sparse=True')
        return (True,)
    return (False,) if reason or not verify else (False, True)


def reason_against(mode: Mode, kernels: Sequence[Kernel]) -> str:
    """Return why LiteRT cannot run a sparse file of this mode, or why it would be no smaller; "" if neither."""
    if not mode.sparse:
        return f"LiteRT may compute wrong outputs from sparse weights with quantize={mode.name!r}."
    worth = [kernel for kernel in kernels if kernel.sparsity >= WORTH]
    if not worth:
        highest = max((kernel.sparsity for kernel in kernels), default=0.0)
        return f"No kernel has {WORTH:.0%} zeros or more, the highest sparsity is {highest:.1%}."
    scattered = [kernel.layer for kernel in worth if kernel.zero_blocks(_BLOCK) < 1]
    if mode.name == "int8" and scattered:
        return (
            f"LiteRT loads sparse int8 weights only where all of them are kernels of Dense layers with zeros in blocks "
            f"of {_BLOCK} inputs (keras_prune.LITERT_1X16); these are not: {', '.join(scattered)}."
        )
    in_blocks = [kernel.layer for kernel in worth if kernel.zero_blocks(4) >= IN_BLOCKS]
    if mode.name == "float16" and in_blocks:
        return (
            "LiteRT crashes on sparse float16 weights of Dense layers whose zeros come in blocks of four inputs "
            f"(keras_prune.LITERT_1X4): {', '.join(in_blocks)}. In float32 it runs them."
        )
    return ""
