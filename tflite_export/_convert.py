"""The child that converts: `python -m tflite_export._convert SAVED_MODEL FILE`."""

import re
import sys
from pathlib import Path

from tflite_export.child import fail


def main(saved_model: str, file: str) -> None:
    """Converts a SavedModel, or ends with a message."""
    import tensorflow as tf

    # Keras saves the same function under two signatures; two would give the file two copies of the graph.
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["serving_default"])
    # LiteRT runs builtin operators alone: what needs TensorFlow's ("Flex") or custom ones would not load.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = False
    try:
        content = converter.convert()
    except Exception as error:  # the converter raises its own kinds, ValueError and what MLIR throws
        fail(readable(str(error)))
    else:
        Path(file).write_bytes(content)


def readable(message: str) -> str:
    """What the converter says, without pages of MLIR.

    The operators that it cannot express stand one a line after "Details:", as `tf.Erfinv(tensor<1x4xf32>) ->
    ...`.
    """
    lacking = list(dict.fromkeys(re.findall(r"^\s*(tf\.(\w+)\(tensor.*?) : \{", message, re.MULTILINE)))
    if not lacking:
        return message.strip()[:2000]
    names = ", ".join(dict.fromkeys(name for _, name in lacking))
    hint = ""
    if any(re.search(r"x?(bf16|f16|f64)>", call) for call, _ in lacking):
        hint = " Build the model with dtype float32: LiteRT has few operators for other floating-point types."
    calls = "\n".join("  " + call for call, _ in lacking)
    return f"LiteRT's builtin operators cannot express {names}.{hint} Received:\n{calls}"


if __name__ == "__main__":
    main(*sys.argv[1:])
