"""How long `expand` and the analysis take of transformers of several depths, and how much memory `expand` takes.

    python benchmarks/expansion.py --blocks=3 --blocks=6 --blocks=12

A model is a subclassed one of Keras's layers: each block has attention and a feed-forward network of its own class.
"""

import json
from collections.abc import Iterator
from typing import Any

import backends
import clock
import keras
import memory
import numpy as np
from absl import app, flags
from keras import layers

import keras_prune as kp

_BLOCKS = flags.DEFINE_multi_integer("blocks", [3, 6, 12], "Numbers of blocks.")
_WIDTH = flags.DEFINE_integer("width", 256, "Size of the hidden vectors.")
STEPS, WORDS, HEADS = 32, 1000, 4


class FeedForward(layers.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.wide, self.narrow = layers.Dense(4 * width, "gelu"), layers.Dense(width)

    def call(self, x):
        return self.narrow(self.wide(x))


class Block(layers.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.norm_1, self.norm_2 = layers.LayerNormalization(), layers.LayerNormalization()
        self.attention, self.ffn = layers.MultiHeadAttention(HEADS, width // HEADS), FeedForward(width)

    def call(self, x):
        y = self.norm_1(x)
        x = x + self.attention(y, y)
        return x + self.ffn(self.norm_2(x))


class Transformer(keras.Model):
    def __init__(self, blocks, width):
        super().__init__()
        self.words, self.blocks = layers.Embedding(WORDS, width), [Block(width) for _ in range(blocks)]
        self.head = layers.Dense(2)

    def call(self, words, training=None):
        x = self.words(words)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


def measurements() -> Iterator[dict[str, Any]]:
    words = np.zeros((1, STEPS), "int32")
    yield {"versions": backends.versions()}
    for blocks in [1, *_BLOCKS.value]:  # the first loads and fills whatever is loaded or filled once
        model = Transformer(blocks, _WIDTH.value)
        built, _ = clock.timed(model, words)
        made = []
        seconds, grown = memory.measure(lambda model=model, made=made: made.append(kp.expand(model, example=words)))
        analysed, _ = clock.timed(kp.analyze_channels, made[0])
        times = {"call": built["seconds"], "expand": seconds, "analyze": analysed["seconds"]}
        yield {"blocks": blocks, "weights": 4 * model.count_params(), "memory": grown, **times}


def main(_: list[str]) -> None:
    for row in measurements():
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    app.run(main)
