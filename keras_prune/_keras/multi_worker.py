"""Several workers, each a process, train one model: they must choose the same masks.

Only TensorFlow's workers can differ, since each has its own variables: those that its strategy does not keep equal,
such as the moving statistics of `BatchNormalization`, and its own data change the statistics. On JAX the arrays are
those of all processes together.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


def choice_of_first(model: keras.Model, kept: np.ndarray) -> np.ndarray:
    """The mask that the first worker chose. All workers must call this together; with a single one it is `kept`.

    Args:
        model: The model that they train. On TensorFlow it has a `tf.distribute` strategy.
        kept: The mask that this worker chose: boolean.

    Returns:
        A boolean mask of the same shape, the same on each worker.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if _workers(strategy) < 2:
        return kept

    def mine(context: Any) -> Any:  # each replica adds zeros, except the first
        return ops.convert_to_tensor(kept & (context.replica_id_in_sync_group == 0), "float32")

    shared = strategy.experimental_distribute_values_from_function(mine)  # type: ignore[union-attr]
    total = strategy.reduce("SUM", shared, axis=None)  # type: ignore[union-attr]
    return ops.convert_to_numpy(total) != 0


def refuse_scope(copy: keras.Model) -> None:
    """Raises a `ValueError` if a copy to measure on was made for several workers: Keras cannot run it (Keras 3.15)."""
    strategy = getattr(copy, "distribute_strategy", None)
    if _workers(strategy) > 1:
        raise ValueError(
            "Each worker measures separately: where an importance needs data, call `set_model`, `after_step` and "
            "`prune_weights` outside of `strategy.scope()`. "
            f"Received: the scope of a strategy of {_workers(strategy)} workers"
        )


def _workers(strategy: Any) -> int:
    """How many processes make the steps of a `tf.distribute` strategy together."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or strategy.num_replicas_in_sync < 2:
        return 1
    cluster = resolver.cluster_spec().as_dict()
    return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))
