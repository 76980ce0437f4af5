"""Worker that converts: `python -m tflite_export.workers.convert SAVED_MODEL FILE SETTINGS`.

The settings are those of `convert.Settings` and the arguments of `_set`, as a JSON object.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tflite_export.arrays import call_sizes, parts
from tflite_export.subprocesses import fail

# TensorFlow imports these where they are installed, which takes longer than all the rest. A conversion uses none.
_UNUSED = ("keras", "tf_keras", "jax", "pandas", "scipy", "sklearn")


def main(saved_model: str, file: str, settings: str) -> None:
    """Convert a SavedModel, or end with a message."""
    import tensorflow as tf

    # Keras saves the same function under two signatures; two would give the file two copies of the graph.
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["serving_default"])
    _set(converter, **json.loads(settings))
    try:
        content = converter.convert()
    except Exception as error:  # the converter raises its own kinds, ValueError and the errors of MLIR
        fail(readable(str(error)))
    else:
        Path(file).write_bytes(content)


def _set(
    converter: Any,
    mode: str | None,
    sparse: bool,
    input_type: str,
    output_type: str,
    per_channel: bool,
    representative: str | None,
    names: list[str],
    batch: int | None,
    allow: list[str],
) -> None:
    """Set up the converter.

    LiteRT alone runs builtin operators only: a file with TensorFlow's ("Flex") or custom ones does not load, so that
    these must be allowed.
    """
    import tensorflow as tf

    operators = {
        "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    }
    converter.target_spec.supported_ops = [operators.get(mode or "", tf.lite.OpsSet.TFLITE_BUILTINS)]
    converter.allow_custom_ops = "custom" in allow
    if "flex" in allow:
        converter.target_spec.supported_ops += [tf.lite.OpsSet.SELECT_TF_OPS]
        if batch is None:  # loops over batches of any size: TensorFlow's lists of tensors can, LiteRT's own cannot
            converter._experimental_lower_tensor_list_ops = False
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if mode is not None else []
    if sparse:
        converter.optimizations += [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if representative is not None:
        converter.representative_dataset = lambda: _samples(representative, names, batch or 1)
        converter.inference_input_type = tf.dtypes.as_dtype(input_type)
        converter.inference_output_type = tf.dtypes.as_dtype(output_type)
    if not per_channel:
        converter._experimental_disable_per_channel = True
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True


def _samples(representative: str, names: list[str], batch: int) -> Iterator[dict[str, Any]]:
    import numpy as np

    with np.load(representative) as archive:
        batches = [archive[f"input_{place}"] for place in range(len(names))]
    for values in parts(batches, call_sizes(len(batches[0]), batch), batch):
        yield dict(zip(names, values, strict=True))


def readable(message: str) -> str:
    """Return the message of the converter, without pages of MLIR.

    The operators that it cannot express follow "Details:", one a line, as `tf.Erfinv(tensor<1x4xf32>) -> ...`.
    """
    lacking = list(dict.fromkeys(re.findall(r"^\s*(tf\.(\w+)\(tensor.*?) : \{", message, re.MULTILINE)))
    if not lacking:
        return message.strip()[:2000]
    names = ", ".join(dict.fromkeys(name for _, name in lacking))
    hint = ""
    if any(re.search(r"x?(bf16|f16|f64)>", call) for call, _ in lacking):
        hint = " Build the model with dtype float32: LiteRT has few operators for other floating-point types."
    kind = "custom" if "Custom ops:" in message else "flex"
    hint += f' Or pass allow=("{kind}",), verify=False, if the program that runs the file has them.'
    calls = "\n".join("  " + call for call, _ in lacking)
    return f"LiteRT's builtin operators cannot express {names}.{hint} Received:\n{calls}"


if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]  # for Python: not installed
    main(*sys.argv[1:])
