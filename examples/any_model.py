"""Prunes half the channels of a subclassed vision transformer, fine-tunes the smaller graph, and exports both.

    pip install ".[demo,tflite]"   # in a clone of the repository
    python examples/any_model.py --data=cifar10.npz      # some ten minutes without a GPU
    python examples/any_model.py --data=cifar10.npz --ratio=0.7
    python examples/any_model.py --smoke                 # with synthetic images, in seconds
    python examples/any_model.py --helpshort

The model is a class with code of its own, and so are its blocks. `prune_channels` writes it out as a graph of Keras's
layers and operations, and says what became of the custom layers. The result needs none of these classes. The file holds
images, (samples, 32, 32, 3), of bytes, and labels from 0. The dense and the pruned model are written as .keras and
.tflite to the folder `--output`; the dense .keras file is that of the graph.
"""

import comparison
import helpers
import keras
import numpy as np
from absl import flags
from keras import layers, ops

import keras_prune as kp

WIDTH, HEADS, DEPTH, PATCH = 64, 4, 4, 4
FLAGS = helpers.define_flags(
    data="images (samples, 32, 32, 3) of bytes, such as those of CIFAR-10. Without it, synthetic ones.",
    output="out/any_model",
    epochs=20,
    finetune_epochs=10,
    learning_rate=1e-3,
    finetune_learning_rate=5e-4,
    batch_size=128,
    seeds=1,
)
flags.DEFINE_float("ratio", 0.5, "Fraction of the channels that is removed, in (0, 1).")
helpers.check_flag("ratio", lambda value: 0 < value < 1, "in (0, 1)")


class Block(layers.Layer):
    """Attention and a feed-forward network, each added to its inputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm_1, self.norm_2 = layers.LayerNormalization(), layers.LayerNormalization()
        self.attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="attention")
        self.ffn = keras.Sequential(
            [layers.Dense(2 * WIDTH, "gelu"), layers.Dense(WIDTH), layers.Dropout(0.1)], name="ffn"
        )

    def call(self, x):
        y = self.norm_1(x)
        x = x + self.attention(y, y)
        return x + self.ffn(self.norm_2(x))


class VisionTransformer(keras.Model):
    """Patches, learned positions, blocks, and the mean of what they return."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.scale = layers.Rescaling(1 / 127.5, offset=-1)
        self.patches = layers.Conv2D(WIDTH, PATCH, PATCH, name="patches")
        self.blocks = [Block(name=f"block_{index}") for index in range(DEPTH)]
        self.norm, self.head = layers.LayerNormalization(), layers.Dense(classes, "softmax", name="head")

    def build(self, shape):
        self.count = (shape[1] // PATCH) * (shape[2] // PATCH)
        self.positions = self.add_weight(shape=(self.count, WIDTH), initializer="random_normal", name="positions")
        super().build(shape)

    def call(self, images, training=None):
        x = ops.reshape(self.patches(self.scale(images)), (-1, self.count, WIDTH)) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(ops.mean(self.norm(x), axis=1))


def synthetic() -> helpers.Data:
    """Random images, a part of which is as bright as the class says."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 1000)
    x = rng.integers(0, 256, (1000, 32, 32, 3))
    x[:, :16] = (x[:, :16] + 25 * y[:, None, None, None]) // 2
    x = x.astype("uint8")
    return helpers.Data(x[:800], y[:800], x[800:], y[800:])


def main() -> None:
    data = helpers.prepare(helpers.load((32, 32, 3), np.uint8, synthetic))
    data = data._replace(x_train=data.x_train.astype("float32"), x_test=data.x_test.astype("float32"))
    table = comparison.Comparison(data)
    for _ in helpers.seeds():
        # 1. An ordinary subclassed model, trained as usual.
        dense = VisionTransformer(int(data.y_train.max()) + 1, name="vit")
        helpers.train(dense, FLAGS.epochs, FLAGS.learning_rate, data.x_train, data.y_train)

        # 2. What it computes, as a graph of Keras's layers: the same outputs, without the classes above.
        graph = kp.expand(dense)
        print(kp.expansion.report(graph))

        # 3. A smaller one, fine-tuned. The dense one is fine-tuned too: a fair comparison.
        table.add_channels(graph, kp.prune_channels(graph, FLAGS.ratio), data.x_train, data.y_train)
    table.finish()


if __name__ == "__main__":
    helpers.run(main)
