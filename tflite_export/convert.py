"""From a plain Keras model to the bytes of a `.tflite` file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflite_export import child, flatbuffer

if TYPE_CHECKING:
    import keras

    from tflite_export.signature import Input


def convert(
    model: "keras.Model", structure: Any, inputs: Sequence["Input"], outputs: Sequence[str], folder: Path
) -> bytes:
    """Converts a plain model, for a batch of one, with LiteRT's builtin operators only.

    Args:
        model: A built Keras model without pruning masks.
        structure: What the model is called with: the nest in which its inputs stand.
        inputs: The inputs, in flattened order.
        outputs: A name for each output, in flattened order.
        folder: A temporary folder.

    Returns:
        The bytes of the file. Its inputs and outputs have these names in the signature, and this order.

    Raises:
        ExportError: The converter cannot convert the model.
    """
    saved, file = folder / "saved_model", folder / "converted.tflite"
    _save(model, structure, inputs, outputs, saved)
    child.run("tflite_export._convert", str(saved), str(file), task="the conversion to TensorFlow Lite")
    return flatbuffer.in_order(file.read_bytes(), [spec.name for spec in inputs], outputs)


def _save(model: "keras.Model", structure: Any, inputs: Sequence["Input"], outputs: Sequence[str], saved: Path) -> None:
    """Writes the SavedModel.

    What `model.export` does, with a flat signature of our own: each input and output has one name, however
    they are nested, and none that TensorFlow refuses or that Keras counts up from run to run
    (`keras_tensor_17`).
    """
    import keras
    import tensorflow as tf

    def serve(*flat: Any) -> dict[str, Any]:
        result = model(keras.tree.pack_sequence_as(structure, flat), training=False)
        return dict(zip(outputs, keras.tree.flatten(result), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(model)
    specs = [tf.TensorSpec((1, *spec.shape), spec.dtype, name=spec.name) for spec in inputs]
    archive.add_endpoint("serve", serve, specs)
    archive.write_out(str(saved), verbose=False)
