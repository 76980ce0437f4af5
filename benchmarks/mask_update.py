"""Worker: one mask update over 25 million weights, in one array or in 50, while the sparsity grows.

What is timed is what `fit` waits for: the hook of `PruningSchedule` at the end of a step at which an update is due. The
updates follow each other, so all but the first see weights of which most are zero.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from absl import app, flags
from memory import measure
from processes import serve

from keras_prune import Percentile, PruningSchedule, wrap_pruning

_SMOKE = flags.DEFINE_bool("smoke", False, "A hundred times fewer weights, and once.")
_SPARSITIES = flags.DEFINE_multi_float("sparsity", [0.5], "Sparsities to reach, one after the other.")
REPEATS = 3  # of the whole way; the tables show the median


def build(arrays: int) -> keras.Model:
    scale = 10 if _SMOKE.value else 1
    if arrays == 1:
        stack = [keras.Input((5000 // scale,)), keras.layers.Dense(5000 // scale, use_bias=False)]
    else:
        widths = [1000 // scale if layer % 2 else 500 // scale for layer in range(arrays)]
        stack = [keras.Input((1000 // scale,)), *(keras.layers.Dense(width, use_bias=False) for width in widths)]
    model = wrap_pruning(keras.Sequential(stack))
    model.compile("sgd")
    return model


def refill(model: keras.Model) -> None:
    """Makes a model dense again."""
    rng = np.random.default_rng(0)
    model.set_weights(
        [
            (rng.standard_normal(v.shape, dtype=np.float32) if v.trainable else np.ones(v.shape, v.dtype))
            for v in model.weights
        ]
    )


def updates(case: str, model: keras.Model, selection: Percentile) -> Iterator[dict[str, Any]]:
    largest = max(int(np.prod(v.shape)) for v in model.trainable_variables) * 4
    refill(model)
    callback = PruningSchedule(lambda step: _SPARSITIES.value[step - 1], selection, frequency=1)
    callback.set_model(model)
    for batch, sparsity in enumerate(_SPARSITIES.value):
        model.optimizer.iterations.assign(batch + 1)
        logs: dict[str, Any] = {}
        seconds, extra = measure(lambda batch=batch, logs=logs: callback.on_train_batch_end(batch, logs))
        if abs(logs["sparsity"] - sparsity) > 1e-3:
            raise RuntimeError(f"The update did not prune: {logs['sparsity']} instead of {sparsity}")
        memory = None if extra is None else extra / largest
        yield {"case": case, "sparsity": sparsity, "seconds": seconds, "memory": memory}


def measurements() -> Iterator[dict[str, Any]]:
    cases = {
        "1 array": (build(1), Percentile()),
        "50 arrays": (build(50), Percentile()),
        "50 arrays, global": (build(50), Percentile(scope="global")),
    }
    yield {}
    for _ in range(1 if _SMOKE.value else REPEATS):
        for case, (model, selection) in cases.items():
            yield from updates(case, model, selection)


def main(_: list[str]) -> None:
    serve(measurements())


if __name__ == "__main__":
    app.run(main)
