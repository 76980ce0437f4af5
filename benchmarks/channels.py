"""Worker: half of the channels of every group of a network removed: analysis, plan and the smaller model.

The smaller model is a new one, and making its layers is part of what is timed. What Keras takes to make the network
itself is timed apart.
"""

import math
from collections.abc import Iterator
from typing import Any

import backends
import clock
import keras
from absl import app, flags
from processes import serve

from keras_prune import prune_channels

_NETWORK = flags.DEFINE_string("network", "ResNet50", "A model of `keras.applications`.")
_SIZE = flags.DEFINE_integer("size", 224, "Height and width of its images.")


def prune(model: keras.Model) -> keras.Model:
    small = prune_channels(model, 0.5).model
    backends.settle()
    return small


def measurements() -> Iterator[dict[str, Any]]:
    build = getattr(keras.applications, _NETWORK.value)
    yield {"versions": backends.versions()}
    while True:
        built, model = clock.timed(build, weights=None, input_shape=(_SIZE.value, _SIZE.value, 3))
        pruned, small = clock.timed(prune, model)
        yield {"build": built, "prune": pruned, "before": count(model), "after": count(small)}


def count(model: keras.Model) -> int:
    """The parameters that are trained: PyTorch does not count the others."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def main(_: list[str]) -> None:
    keras.utils.set_random_seed(0)
    serve(measurements())


if __name__ == "__main__":
    app.run(main)
