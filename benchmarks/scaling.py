"""Worker: how long the analysis takes of models of 100 to 10,000 nodes, and beside it what Keras takes to build them.

A model is a chain of blocks: convolution, BatchNormalization, ReLU, convolution, addition. The tensors are tiny. Each
block has a group of its own; one more group goes through all additions, and so has as many members as there are blocks.
"""

import statistics
import sys
from collections.abc import Iterator
from typing import Any

import backends
import clock
import keras
from absl import app, flags
from keras import layers
from processes import serve

from keras_prune import analyze_channels, prune_channels

_NODES = flags.DEFINE_multi_integer("nodes", [], "Sizes of models.")
REPEATS = 3  # of the analysis; the table shows the median
BLOCK = 5  # nodes


def build(nodes: int) -> keras.Model:
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(4, 1)(inputs)
    for _ in range(nodes // BLOCK):
        y = layers.BatchNormalization()(layers.Conv2D(4, 1)(x))
        x = layers.Add()([x, layers.Conv2D(4, 1)(layers.ReLU()(y))])
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def measurements() -> Iterator[dict[str, Any]]:
    prune_channels(build(100), 0.5)  # whatever is loaded or filled once
    yield {"versions": backends.versions()}
    for nodes in _NODES.value:
        built, model = clock.timed(build, nodes)
        analysed = statistics.median(clock.timed(analyze_channels, model)[0]["seconds"] for _ in range(REPEATS))
        pruned, _ = clock.timed(prune_channels, model, 0.5)
        yield {"nodes": nodes, "build": built["seconds"], "analyze": analysed, "prune": pruned["seconds"]}


def main(_: list[str]) -> None:
    sys.setrecursionlimit(1_000_000)  # Keras follows a model from its outputs by recursion
    serve(measurements())


if __name__ == "__main__":
    app.run(main)
