"""Worker: the first case of `mask_update.py` for tfmot: its own class updates the mask of one large array.

Once, not three times, and without a run to compile: an update takes some ten seconds.
"""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import app, flags
from memory import measure
from processes import serve
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning

_SMOKE = flags.DEFINE_bool("smoke", False, "A hundred times fewer weights.")
_SPARSITIES = flags.DEFINE_multi_float("sparsity", [0.5], "Sparsities to reach, one after the other.")


def measurements() -> Iterator[dict[str, Any]]:
    side = 500 if _SMOKE.value else 5000
    weight = tf.Variable(tf.random.stateless_normal((side, side), seed=(0, 0)))
    mask, threshold = tf.Variable(tf.ones_like(weight)), tf.Variable(0.0)
    sparsity = tf.Variable(0.0)
    pruning = Pruning(
        training_step_fn=lambda: tf.constant(1),
        pruning_vars=[(weight, mask, threshold)],
        pruning_schedule=lambda step: (tf.constant(True), sparsity),
        block_size=(1, 1),
        block_pooling_type="AVG",
    )

    @tf.function
    def update() -> None:
        pruning.conditional_mask_update()
        pruning.weight_mask_op()

    yield {}
    for target in _SPARSITIES.value:
        sparsity.assign(target)
        seconds, extra = measure(update)
        reached = 1.0 - float(tf.reduce_mean(mask))
        if abs(reached - target) > 1e-3:
            raise RuntimeError(f"The update did not prune: {reached} instead of {target}")
        memory = None if extra is None else extra / (4 * side * side)
        yield {"case": "1 array", "sparsity": target, "seconds": seconds, "memory": memory}


def main(_: list[str]) -> None:
    serve(measurements())


if __name__ == "__main__":
    app.run(main)
