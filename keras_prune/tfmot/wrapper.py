"""`PruneLowMagnitude`, the wrapper of tfmot: a layer, its masks, and how they are chosen."""

from typing import Any, Literal, Self

import keras

from keras_prune import _keras
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.pruning_masks import ATTRIBUTE
from keras_prune.masking.unpruned import charges
from keras_prune.masking.wrapper import PruningWrapper
from keras_prune.selection import Block, NByM, Percentile, Selection
from keras_prune.tfmot.schedules import ConstantSparsity, PruningSchedule, deserialize_schedule, serialize_schedule
from keras_prune.validation import check_choice, check_pair, is_integer

_POOLING: dict[str, Literal["mean", "max"]] = {"AVG": "mean", "MAX": "max"}
SETTINGS = ("pruning_schedule", "block_size", "block_pooling_type", "sparsity_m_by_n")


class PrunableLayer:
    """Mixin of a custom layer that names the weights to prune.

    Example:

    ```python
    class MyDense(keras.layers.Dense, sparsity.PrunableLayer):
        def get_prunable_weights(self):
            return [self.kernel, self.bias]
    ```
    """

    def get_prunable_weights(self) -> Any:
        """Return the list of the variables to prune."""
        raise NotImplementedError(f"{type(self).__name__} must implement `get_prunable_weights`")


@keras.saving.register_keras_serializable(package="keras_prune")
class PruneLowMagnitude(PruningWrapper):
    """Wrapper that holds a layer, its masks and its own schedule. `prune_low_magnitude` makes it.

    It has the name of its layer, and all arguments are saved with it. `fit` without `UpdatePruningStep` raises a
    `ValueError`, unless the layer is pruned already.

    Args:
        layer: The layer.
        pruning_schedule: As in `prune_low_magnitude`. Defaults to `ConstantSparsity(0.5, 0)`.
        block_size: As in `prune_low_magnitude`. Defaults to (1, 1).
        block_pooling_type: As in `prune_low_magnitude`. Defaults to `"AVG"`.
        sparsity_m_by_n: As in `prune_low_magnitude`. Defaults to None.
        **kwargs: Arguments of `keras_prune.masking.PruningWrapper`.

    Raises:
        ValueError: Settings that are not allowed.
    """

    def __init__(
        self,
        layer: keras.Layer,
        *,
        pruning_schedule: PruningSchedule | None = None,
        block_size: Any = (1, 1),
        block_pooling_type: str = "AVG",
        sparsity_m_by_n: Any = None,
        **kwargs: Any,
    ):
        settings = check_settings(pruning_schedule, block_size, block_pooling_type, sparsity_m_by_n)
        super().__init__(layer, **kwargs)
        self.pruning_schedule: PruningSchedule = settings["pruning_schedule"]
        self.block_size = settings["block_size"]
        self.block_pooling_type = settings["block_pooling_type"]
        self.sparsity_m_by_n = settings["sparsity_m_by_n"]

    def get_prunable_weights(self) -> list[keras.Variable]:
        """Return the layer's weights that are pruned: none before it is built."""
        return [weight.weight for weight in find_masked(self)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        masks = getattr(self, ATTRIBUTE, None)
        if masks is None or not masks.in_charge:
            self._refuse_unpruned_fit()
        return super().__call__(*args, **kwargs)

    def _refuse_unpruned_fit(self) -> None:
        """Raises, as tfmot does, where `fit` trains this layer without a callback that prunes it; once it is pruned it
        may be."""
        fit = _keras.fit_of_step()
        if fit is None or charges(fit.model):
            return
        masks = getattr(self, ATTRIBUTE, None)  # none before the first step, which builds the layer
        if masks is not None:
            values = [fit.read(mask) for mask in masks.masks]
            pruned = any(value is None or not value.all() for value in values)
            if pruned or masks.decided or any(self.clusters):
                masks.in_charge = True  # it need not be looked at again
                return
        fit.return_values()
        raise ValueError(
            "Layers from `prune_low_magnitude` are pruned by a callback, without which nothing is: pass it to "
            "`fit(..., callbacks=[UpdatePruningStep()])`. "
            f"Received: `fit` of the model '{fit.model.name}' without it, with the layer '{self.name}'"
        )

    @property
    def selection(self) -> Selection:
        """How the scores of this layer's weights become masks."""
        return find_selection(self.block_size, self.block_pooling_type, self.sparsity_m_by_n)

    def around(self, layer: keras.Layer) -> Self:
        settings = {name: getattr(self, name) for name in SETTINGS}
        return type(self)(layer, movement=self.movement, clusters=self.clusters, weights=self.weights_at, **settings)

    def get_config(self) -> dict[str, Any]:
        m_by_n = self.sparsity_m_by_n
        return super().get_config() | {
            "pruning_schedule": serialize_schedule(self.pruning_schedule),
            "block_size": list(self.block_size),
            "block_pooling_type": self.block_pooling_type,
            "sparsity_m_by_n": None if m_by_n is None else list(m_by_n),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        schedule = deserialize_schedule(config["pruning_schedule"], custom_objects)
        return super().from_config(config | {"pruning_schedule": schedule}, custom_objects)


def check_settings(schedule: Any, block_size: Any, pooling: Any, m_by_n: Any) -> dict[str, Any]:
    """The arguments of `PruneLowMagnitude`, checked, by name.

    Raises:
        ValueError: One of them is not allowed by tfmot.
    """
    schedule = ConstantSparsity(0.5, 0) if schedule is None else schedule
    if not isinstance(schedule, PruningSchedule):
        raise ValueError(
            "`pruning_schedule` must be a schedule of `keras_prune.tfmot`, such as `ConstantSparsity(0.5, 0)`. "
            f"Received: pruning_schedule={schedule!r}"
        )
    check_choice(pooling, "block_pooling_type", tuple(_POOLING))
    block_size = _pair(block_size, "block_size")
    if m_by_n is not None:
        m_by_n = _pair(m_by_n, "sparsity_m_by_n")
        if not m_by_n[0] < m_by_n[1]:
            raise ValueError(
                f"`sparsity_m_by_n` is (m, n), m zeros of n weights, with m < n. Received: sparsity_m_by_n={m_by_n!r}"
            )
        if block_size != (1, 1):
            raise ValueError(
                "`sparsity_m_by_n` and `block_size` cannot be combined. "
                f"Received: sparsity_m_by_n={m_by_n!r}, block_size={block_size!r}"
            )
        final = getattr(schedule, "final_sparsity", getattr(schedule, "target_sparsity", 1.0))
        if final < m_by_n[0] / m_by_n[1] - 1e-9:
            raise ValueError(
                f"A schedule that ends below {m_by_n[0] / m_by_n[1]:.4g} never reaches the pattern. "
                f"Received: sparsity_m_by_n={m_by_n!r} with a final sparsity of {final!r}"
            )
    return dict(zip(SETTINGS, (schedule, block_size, pooling, m_by_n), strict=True))


def find_selection(block_size: tuple[int, int], pooling: str, m_by_n: tuple[int, int] | None) -> Selection:
    """The selection of `keras_prune` for these arguments of tfmot."""
    if m_by_n is not None:
        zeros, of = m_by_n  # `NByM` counts the weights that are kept
        return NByM(of - zeros, of)
    return Percentile() if block_size == (1, 1) else Block(block_size, _POOLING[pooling])


def _pair(value: Any, name: str) -> tuple[int, int]:
    """Two whole numbers; a single one stands for both, as in tfmot."""
    return check_pair((value, value) if is_integer(value) else value, name, minimum=1)
