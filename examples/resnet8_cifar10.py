"""Prunes the ResNet-8 of MLPerf Tiny on CIFAR-10: 80% of the weights, or channels with half the multiplications.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/resnet8_cifar10.py --model=resnet8.keras                     # a trained model, inputs from 0 to 255
    python examples/resnet8_cifar10.py                                           # trains it first: long without a GPU
    python examples/resnet8_cifar10.py --model=resnet8.keras --prune=channels    # whole channels: a smaller network
    python examples/resnet8_cifar10.py --smoke                                   # in seconds, on few images
    python examples/resnet8_cifar10.py --helpshort

Channels are added up in a residual network, so they are removed in groups, which `prune_channels` finds. It prints the
pruned weights or channels and a table that compares the models, and writes the dense and the pruned model as .keras and
.tflite to the folder `--output`.
"""

from pathlib import Path
from typing import Any

import comparison
import helpers
import keras
import numpy as np
from absl import flags
from augmented import Augmented
from keras import layers

import keras_prune as kp

FLAGS = helpers.define_flags(
    data="CIFAR-10 as of keras.datasets. Without it, Keras's own copy, or a download of 170 MB.",
    output="out/resnet8_cifar10",
    epochs=60,
    finetune_epochs=30,
    learning_rate=2e-3,
    finetune_learning_rate=3e-3,
    batch_size=64,
    seeds=1,
)
comparison.define_flags(sparsity=0.8)
flags.DEFINE_string(
    "model",
    None,
    "Path of a .keras file of a model trained on CIFAR-10, with inputs from 0 to 255 (default: train one).",
)
flags.DEFINE_float("macs", 0.5, "Fraction of the multiply-accumulates that is kept, in (0, 1); with --prune=channels.")
flags.DEFINE_string(
    "importance", "l2", "Importance criterion of channels, see `kp.prune_channels`; with --prune=channels."
)
flags.DEFINE_enum(
    "scope",
    "isomorphic",
    ["group", "global", "isomorphic"],
    "Channels that are ranked together, see `kp.prune_channels`; with --prune=channels.",
)
flags.DEFINE_integer(
    "compensate",
    1024,
    "Number of training images by which the layers that remain take over the work of removed channels, or 0: their "
    "weights are left as they are; with --prune=channels.",
)
helpers.check_flag("compensate", lambda value: value >= 0, "at least 0")
flags.DEFINE_float("distill", 0.5, "Weight of the dense model's predictions in the labels for fine-tuning, in [0, 1].")
helpers.check_flag("distill", lambda value: 0 <= value <= 1, "in [0, 1]")
helpers.check_flag("model", lambda value: value is None or Path(value).is_file(), "a file that exists")
helpers.check_flag("macs", lambda value: 0 < value < 1, "in (0, 1)")
comparison.only_with("channels", "macs", "importance", "scope", "compensate")


def build_model() -> keras.Model:
    """The network of github.com/mlcommons/tiny, image classification."""

    def convolve(x: keras.KerasTensor, filters: int, size: int = 3, strides: int = 1) -> keras.KerasTensor:
        return layers.Conv2D(
            filters,
            size,
            strides,
            padding="same",
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.L2(1e-4),
        )(x)

    inputs = keras.Input((32, 32, 3), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(convolve(inputs, 16)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(layers.BatchNormalization()(convolve(x, filters, strides=strides)))
        y = layers.BatchNormalization()(convolve(y, filters))
        if strides > 1:
            x = convolve(x, filters, size=1, strides=strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    outputs = layers.Dense(10, activation="softmax", kernel_initializer="he_normal")(x)
    return keras.Model(inputs, outputs, name="resnet8")


def load_data() -> helpers.Data:
    if FLAGS.data is None:
        print("CIFAR-10: from Keras's cache, or a download of 170 MB. With a file: --data=cifar10.npz", flush=True)
        try:
            (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
        except Exception as error:  # Keras raises a plain one
            raise helpers.BadData(f"No download: {error}. With a file: --data=cifar10.npz") from None
        return helpers.Data(x_train, y_train.reshape(-1), x_test, y_test.reshape(-1))
    return helpers.read(FLAGS.data, (32, 32, 3), np.uint8, classes=10)


def load_model() -> keras.Model:
    try:
        model = keras.models.load_model(FLAGS.model, compile=False)
    except Exception as error:  # whatever is in the file
        raise helpers.BadData(f"--model must be a .keras file. Received: {FLAGS.model}: {error}") from None
    if model.input_shape != (None, 32, 32, 3) or model.output_shape != (None, 10):
        received = f"{model.input_shape} to {model.output_shape}"
        raise helpers.BadData(f"--model must map (None, 32, 32, 3) to (None, 10). Received: {received}")
    return keras.Model(model.inputs[0], model.outputs[0], name="resnet8")


def prune_channels(dense: keras.Model, images: np.ndarray) -> Any:
    """Removes as few channels as needed for `--macs`, and fits the layers that remain."""
    images = images[: FLAGS.compensate or 2048].astype("float32")
    return kp.prune_channels(
        dense,
        budget=kp.Budget(macs=FLAGS.macs),
        importance=FLAGS.importance,
        scope=FLAGS.scope,
        data=images if kp.importance.CRITERIA[FLAGS.importance].needs else None,
        compensate=images if FLAGS.compensate else None,
        recalibrate=images,
    )


def main() -> None:
    data = helpers.prepare(load_data())
    data = data._replace(x_test=data.x_test.astype("float32"))
    table = comparison.Comparison(data)
    for seed in helpers.seeds():
        # 1. A dense model: the given one, or a new one.
        if FLAGS.model is None:
            dense = build_model()
            batches = Augmented(data.x_train, data.y_train, FLAGS.batch_size, seed, shift=4, mirror=True)
            helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, batches)
        else:
            dense = load_model()

        # 2. For fine-tuning, predictions of the dense model are part of the labels (Hinton et al. 2015, "Distilling the
        # knowledge in a neural network"), for the pruned model and, for a fair comparison, for the dense one.
        answers = dense.predict(data.x_train, batch_size=500, verbose=0)
        labels = (1 - FLAGS.distill) * np.eye(10)[data.y_train] + FLAGS.distill * answers
        batches = Augmented(data.x_train, labels.astype("float32"), FLAGS.batch_size, seed, shift=4, mirror=True)

        # 3. A copy whose weights are pruned during fine-tuning, or a smaller model that is fine-tuned.
        if FLAGS.prune == "weights":
            table.add_weights(dense, batches)
        else:
            table.add_channels(dense, prune_channels(dense, data.x_train), batches)
    table.finish()


if __name__ == "__main__":
    helpers.run(main)
