"""Models that no converter turns into a file that LiteRT runs: refused before one is asked, by the names of layers."""

import inspect
from typing import TYPE_CHECKING

from tflite_export.keras_models.signature import layers_of

if TYPE_CHECKING:
    import keras


def check_convertible(model: "keras.Model") -> None:
    """Check a model for what is known to fail, and say what to change.

    Raises:
        ValueError: Layers are quantized by Keras, inputs have a type that files lack, or `call` takes several inputs.
    """
    layers = layers_of(model)
    quantized = [layer.name for layer in layers if getattr(layer, "quantization_mode", None)]
    if quantized:
        raise ValueError(
            "LiteRT has no operators for layers that Keras quantized: export the model as it was before "
            '`model.quantize()`, with quantize="int8", "dynamic" or "int4". '
            f"Received: the quantized layers {quantized}"
        )
    for tensor in getattr(model, "inputs", None) or ():
        if tensor.dtype == "string":
            raise ValueError(
                "A .tflite file takes numbers: look strings up in the program that runs the file, and build a model "
                f"that begins after StringLookup or TextVectorization. Received: input {tensor.name!r} of dtype string"
            )
        if tensor.dtype == "bfloat16":
            raise ValueError(
                'NumPy and LiteRT have no inputs of bfloat16: build the model with keras.Input(..., dtype="float32") '
                f"and give it the same weights. Received: input {tensor.name!r} of dtype bfloat16"
            )
    if needed := _further_arguments(model):
        raise ValueError(
            "A model's `call` must take all inputs as its first argument, as a list or dict: change it, or wrap the "
            f"model in one whose `call(inputs)` hands them on. Received: {type(model).__name__}.call with {needed}"
        )


def reduced_precision(model: "keras.Model") -> list[str]:
    """Return the names of the layers that compute in a floating-point type other than float32."""
    names = []
    for layer in layers_of(model):
        dtype = str(getattr(layer, "compute_dtype", None) or "float32")
        if "float" in dtype and dtype != "float32":
            names.append(layer.name)
    return names


def _further_arguments(model: "keras.Model") -> list[str]:
    """The arguments of `call` without which it fails, beyond the first."""
    parameters = list(inspect.signature(model.call).parameters.values())[1:]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [each for each in parameters if each.default is inspect.Parameter.empty and each.kind in positional]
    return [each.name for each in needed if each.name not in ("training", "mask")]
