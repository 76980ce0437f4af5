"""Worker that quantizes weights to four bits: `python -m tflite_export.workers.int4 FLOAT_FILE FILE PER_CHANNEL`.

TensorFlow's converter has no int4; Google's litert-quantizer (ai-edge-quantizer up to 0.10) has, and rewrites a float32
file. Scales are per channel or per tensor here: those per block break on pruned weights.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

from tflite_export.conversion.modes import QUANTIZERS
from tflite_export.subprocesses import fail

# LiteRT has int4 kernels for the first two. An int8 depthwise convolution with one scale gives garbage (LiteRT 2.3.0),
# unless it is computed in float32, and grouped convolutions with one scale do not load.
_BITS = {"FULLY_CONNECTED": 4, "CONV_2D": 4, "DEPTHWISE_CONV_2D": 8, "CONV_2D_TRANSPOSE": 8}
_INTEGER_WITH_ONE_SCALE = ("FULLY_CONNECTED",)


def main(source: str, target: str, per_channel: str) -> None:
    """Quantize a file, or end with a message."""
    package = next(name for name in QUANTIZERS if importlib.util.find_spec(name) is not None)
    qtyping, quantizer = (importlib.import_module(f"{package}.{name}") for name in ("qtyping", "quantizer"))

    by_channel = per_channel == "True"
    granularity = qtyping.QuantGranularity.CHANNELWISE if by_channel else qtyping.QuantGranularity.TENSORWISE
    converter = quantizer.Quantizer(source)
    for name, bits in _BITS.items():
        integer = by_channel or name in _INTEGER_WITH_ONE_SCALE
        add = converter.add_dynamic_config if integer else converter.add_weight_only_config
        add(regex=".*", operation_name=qtyping.TFLOperationName[name], num_bits=bits, granularity=granularity)
    try:
        content = converter.quantize(enable_progress_report=False).quantized_model
    except Exception as error:  # whatever a young package raises
        fail(f"litert-quantizer cannot quantize the file to int4. Received: {error}")
    else:
        Path(target).write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
