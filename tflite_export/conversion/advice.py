"""What to change in a model that was not converted: found in the words of the converter, and in the model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tflite_export.keras_models.refusals import reduced_precision
from tflite_export.keras_models.signature import Input, layers_of

if TYPE_CHECKING:
    import keras


def rolled(model: "keras.Model") -> list[str]:
    """Return the names of the recurrent layers that run as loops."""
    return [layer.name for layer in layers_of(model) if getattr(layer, "unroll", None) is False]


def advice(model: "keras.Model", inputs: Sequence[Input], batch: int | None, mode: str | None, said: str) -> str:
    """Return what to change, in sentences; "" if that is unknown.

    Args:
        model: The model.
        inputs: Its inputs.
        batch: How many samples the file takes at a time; None: as many as it is given.
        mode: The value of `quantize`.
        said: The message of the converter.
    """
    found = []
    if names := rolled(model):
        unroll = f"Build {', '.join(names)} with unroll=True and give them the same weights, or use "
        if mode in ("int8", "int16x8"):
            found.append(
                f"The converter cannot quantize the loops of recurrent layers to {mode}, and may crash. "
                f'{unroll}quantize=None, "float16" or "dynamic".'
            )
        elif batch is None:
            found.append(
                f'Loops of recurrent layers need a batch of fixed size. {unroll}batch_size=1 or allow=("flex",).'
            )
    if names := reduced_precision(model):
        found.append(
            f"These layers compute in half precision: {', '.join(names)}. Build the model with the dtype policy "
            '"float32" and give it the same weights; quantize="float16" makes a file of half the size.'
        )
    if "BitwiseAnd" in said:
        found.append(
            "keras.ops.argmax and argmin need bit operations that LiteRT lacks: end the model in the scores, and take "
            "the argmax of the file's output in the program."
        )
    if mode == "int16x8" and ("not yet supported for op" in said or "Max and min for dynamic tensors" in said):
        integers = [spec.name for spec in inputs if not spec.dtype.startswith("float")]
        why = f"; it has no inputs of integers ({', '.join(integers)})" if integers else ""
        found.append(f'int16x8 exists for few operators{why}: use quantize="int8" or "dynamic".')
    return " ".join(found)
