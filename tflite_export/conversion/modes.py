"""The modes of `quantize`: how weights are stored, in which type the file computes, and the allowed difference."""

import importlib.util
from dataclasses import dataclass
from typing import Any

from tflite_export.errors import require
from tflite_export.validation import check_choice

QUANTIZERS = ("litert_quantizer", "ai_edge_quantizer")  # the new name of the package, and the one it had up to 0.10


@dataclass(frozen=True)
class Mode:
    """Mode of `quantize`.

    Attributes:
        name: The value of `quantize`; None is float32.
        tolerance: The allowed difference of outputs from Keras's, by default.
        needs_data: Whether the converter needs real inputs, to measure the ranges of activations.
        port_types: The types that inputs and outputs may have, the default first.
        sparse: Whether LiteRT runs files of this mode that leave zeros out.
        packages: What it needs besides TensorFlow and LiteRT, any one of them. Defaults to (), nothing.
    """

    name: str | None
    tolerance: float
    needs_data: bool = False
    port_types: tuple[str, ...] = ("float32",)
    sparse: bool = False
    packages: tuple[str, ...] = ()


# The tolerances of the quantized modes tell a broken file from a good one, not how good it is: 8 bits cost single
# outputs up to a third of their range on the networks that were tried, where they stand between two classes, and
# garbage, as some combinations of converter and kernels give, is off by the whole range.
MODES = {
    mode.name: mode
    for mode in (
        Mode(None, 1e-4, sparse=True),
        Mode("float16", 1e-2, sparse=True),
        Mode("dynamic", 0.5),
        Mode("int8", 0.5, needs_data=True, port_types=("float32", "int8", "uint8"), sparse=True),
        Mode("int16x8", 0.5, needs_data=True, port_types=("float32", "int16")),
        Mode("int4", 0.5, packages=QUANTIZERS),
    )
}


def find_mode(quantize: Any, representative_data: Any, input_type: Any, output_type: Any) -> Mode:
    """Return the mode of this name, after a check of the arguments that depend on it.

    Raises:
        ValueError: No mode has this name, it needs data and there are none, or inputs or outputs of such a file
            cannot have the type.
        ImportError: The package of the mode is not installed.
    """
    mode = MODES[check_choice(quantize, "quantize", tuple(MODES))]
    if mode.needs_data and representative_data is None:
        raise ValueError(
            f"quantize={quantize!r} measures the ranges of activations: pass real inputs, some hundred, as "
            "`representative_data`. Received: representative_data=None"
        )
    if not mode.needs_data and representative_data is not None:
        needing = [name for name, other in MODES.items() if other.needs_data]
        raise ValueError(
            f"`representative_data` is for quantize={' or '.join(map(repr, needing))}. Received: quantize={quantize!r}"
        )
    check_port_types(quantize, input_type, output_type)
    if mode.packages and all(importlib.util.find_spec(package) is None for package in mode.packages):
        require(mode.packages[0], user=f"quantize={quantize!r}")
    return mode


def check_port_types(quantize: str | None, input_type: Any, output_type: Any) -> None:
    """Raise a ValueError if inputs or outputs of a file of this mode cannot have the type; None is the default."""
    for name, value in (("input_type", input_type), ("output_type", output_type)):
        if value is not None:
            check_choice(value, name, MODES[quantize].port_types, f" with quantize={quantize!r}")
