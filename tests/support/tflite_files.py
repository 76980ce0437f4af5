"""`.tflite` files that our `export` did not write: from TensorFlow's converter, and changed by hand."""

import pathlib

import numpy as np

SIDE = 8  # of the images


def images(count=16, seed=0):
    return np.random.default_rng(seed).random((count, SIDE, SIDE, 3)).astype("float32")


def cnn():
    """A small CNN whose kernels have zeros: 3/4 of the first convolution, whole 1x4 blocks of the large Dense."""
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3), name="image"),
            layers.Conv2D(8, 3, strides=2, activation="relu", name="conv"),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.Flatten(),
            layers.Dense(32, activation="relu", name="wide"),
            layers.Dense(5, activation="softmax", name="head"),
        ]
    )
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
    kernel = model.get_layer("conv").kernel
    values = kernel.numpy()
    values.flat[rng.permutation(values.size)[: 3 * values.size // 4]] = 0
    kernel.assign(values)
    kernel = model.get_layer("wide").kernel
    inputs, outputs = kernel.shape
    kept = rng.random((inputs // 4, 1, outputs)) < 0.2
    kernel.assign((kernel.numpy().reshape(inputs // 4, 4, outputs) * kept).reshape(inputs, outputs))
    return model


def convert(model, kind, folder, data=None):
    """The bytes of a file: "float32", "float16", "dynamic", "int8", "int16x8" or "sparse"; `data` are for ranges."""
    import tensorflow as tf

    saved = str(pathlib.Path(folder) / "saved_model")
    signature = [tf.TensorSpec((1, *model.input_shape[1:]), "float32", name="image")]
    model.export(saved, verbose=False, input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    optimize, ops = tf.lite.Optimize, tf.lite.OpsSet
    if kind == "sparse":
        converter.optimizations = [optimize.EXPERIMENTAL_SPARSITY]
    elif kind != "float32":
        converter.optimizations = [optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind.startswith("int"):
        converter.representative_dataset = lambda: ([image[None]] for image in (images() if data is None else data))
    if kind == "int8":
        converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if kind == "int16x8":
        converter.target_spec.supported_ops = [ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int16
    return converter.convert()


KINDS = ("float32", "float16", "dynamic", "int8", "int16x8", "sparse")


def unpack(content):
    """The file as objects, by the generated code of the schema."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def pack(model):
    """The bytes of a file given as objects."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def mutations(contents, count, seed):
    """Damaged files: cut short, bytes changed anywhere or where the tables stand, noise, another identifier."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        content = bytearray(contents[rng.integers(len(contents))])
        match i % 5:
            case 0:
                yield "cut", bytes(content[: rng.integers(len(content))])
            case 1:
                for place in rng.integers(0, len(content), rng.integers(1, 200)):
                    content[place] = rng.integers(256)
                yield "changed", bytes(content)
            case 2:  # offsets, lengths and types: numbers of four bytes
                for place in 4 * rng.integers(0, len(content) // 4, rng.integers(1, 20)):
                    content[place : place + 4] = rng.choice([0, 1, 2, 0x7FFFFFFF, 0xFFFFFFFF, len(content)]).tobytes()[
                        :4
                    ]
                yield "numbers", bytes(content)
            case 3:
                size = int(rng.integers(0, 5000))
                head = bytes(content[:8]) if rng.random() < 0.7 else b""
                yield "noise", head + rng.bytes(size)
            case 4:
                content[4:8] = rng.bytes(4)
                yield "identifier", bytes(content)
