"""Worker: half of the channels of every group of a network removed, again and again: analysis, plan, smaller model.

The smaller model is a new one, and making its layers is part of what is timed; the network itself stays as it was.
"""

import math
import time
from collections.abc import Iterator
from typing import Any

import backends
import keras
from absl import app, flags
from processes import serve

from keras_prune import prune_channels

_NETWORK = flags.DEFINE_string("network", "ResNet50", "A model of `keras.applications`.")
_SIZE = flags.DEFINE_integer("size", 224, "Height and width of its images.")


def measurements() -> Iterator[dict[str, Any]]:
    model = getattr(keras.applications, _NETWORK.value)(weights=None, input_shape=(_SIZE.value, _SIZE.value, 3))
    backends.settle()
    yield {"versions": backends.versions()}
    while True:
        start, cpu = time.perf_counter(), time.process_time()
        small = prune_channels(model, 0.5).model
        backends.settle()
        yield {
            "seconds": time.perf_counter() - start,
            "cpu": time.process_time() - cpu,
            "before": count(model),
            "after": count(small),
        }


def count(model: keras.Model) -> int:
    """The parameters that are trained: PyTorch does not count the others."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def main(_: list[str]) -> None:
    keras.utils.set_random_seed(0)
    serve(measurements())


if __name__ == "__main__":
    app.run(main)
