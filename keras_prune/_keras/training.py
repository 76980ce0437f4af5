"""Parts of `compile` and `fit`: losses, metrics, gradients, writes of the optimizer."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import add, sub
from types import FrameType
from typing import Any

import keras
import numpy as np
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.optimizers.base_optimizer import BaseOptimizer
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.utils.module_utils import tensorflow

from keras_prune._keras.layers import is_of_keras


def compiled_loss(model: keras.Model) -> tuple[Any, Any] | None:
    """The loss that a model was compiled with, as it was passed, and the weights of the losses; None without one."""
    found = getattr(model, "_compile_loss", None)
    return None if found is None else (found._user_loss, found._user_loss_weights)


def compile_like(model: keras.Model, target: keras.Model) -> None:
    """Compiles `target` with the loss and the metrics of a model, if that was compiled with a loss."""
    found = compiled_loss(model)
    if found is None:
        return
    metrics, weighted = compiled_metrics(model)
    target.compile(
        optimizer=type(model.optimizer).from_config(model.optimizer.get_config()) if model.optimizer else "rmsprop",
        loss=found[0],
        loss_weights=found[1],
        metrics=metrics,
        weighted_metrics=weighted,
        run_eagerly=model.run_eagerly,
        jit_compile=model.jit_compile,
    )


def is_built_by_training(model: Any) -> bool:
    """Whether the first step of `fit` makes the weights of a model: Keras's other backends do so before it."""
    return keras.backend.backend() == "tensorflow" and not model.built


def compiled_metrics(model: keras.Model) -> tuple[Any, Any]:
    """The metrics and the weighted metrics that a model was compiled with, as they were passed; None without any."""
    found = getattr(model, "_compile_metrics", None)
    return (None, None) if found is None else (found._user_metrics, found._user_weighted_metrics)


def is_pure_step() -> bool:
    """Whether an optimizer updates the state of a pure step (JAX), which has only its own and that of the weights."""
    return keras.backend.backend() == "jax" and in_stateless_scope()


def model_in_fit() -> Any:
    """The model that Keras is training in this thread, the innermost of several; None in a custom loop.

    Nothing tells a variable or an optimizer, so it is read from the stack: only where a step is traced, once.
    """
    stepping = None
    for frame in _callers():
        model = frame.f_locals.get("self")
        if frame.f_code.co_name == "train_step" and isinstance(model, keras.Model):
            stepping = stepping or model
        elif frame.f_code.co_name in ("fit", "train_on_batch") and frame.f_globals["__name__"].startswith("keras."):
            return stepping or model
    return None


class RunningFit:
    """A `fit` of Keras in this thread whose training step is running, or is traced.

    Args:
        model: The model that it trains.
        frame: Its frame, which on JAX has the values that no variable has meanwhile.
    """

    def __init__(self, model: Any, frame: FrameType):
        self.model, self._frame = model, frame

    def read(self, variable: keras.Variable) -> np.ndarray | None:
        """What is stored in a variable of the model that is not trainable; None if that is unknown."""
        backend = keras.backend.backend()
        if backend == "tensorflow":
            with tensorflow.init_scope():
                return np.asarray(variable.value.numpy())
        if backend == "torch":
            return keras.ops.convert_to_numpy(variable.value)
        values = dict(zip(map(id, self.model.non_trainable_variables), self._state()[1], strict=True))
        found = values.get(id(variable))
        return None if found is None else np.asarray(found)

    def return_values(self) -> None:
        """Sees to it that the variables have their values again where an error ends `fit` now."""
        if keras.backend.backend() == "jax":
            names = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
            self.model._jax_state = dict(zip(names, self._state(), strict=True))

    def _state(self) -> Any:
        return self._frame.f_locals["state"]


def fit_of_step() -> RunningFit | None:
    """The `fit` that makes the training step from which this is called; None outside of one."""
    in_step = False
    for frame in _callers():
        model = frame.f_locals.get("self")
        if not isinstance(model, keras.Model):
            continue
        in_step = in_step or frame.f_code.co_name == "train_step"
        if frame.f_code.co_name == "fit" and frame.f_globals["__name__"].startswith("keras."):
            return RunningFit(model, frame) if in_step else None
    return None


def average_in_update(variable: Any) -> keras.Variable | None:
    """The moving average of a variable in the optimizer that is applying its constraint; None if it has none."""
    apply = BaseOptimizer.apply.__code__
    for frame, _ in zip(_callers(), range(3), strict=False):
        if frame.f_code is apply:
            return moving_averages(frame.f_locals["self"]).get(id(variable))
    return None


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def class_weights(y: Any, weights: Mapping[int, float]) -> Any:
    """The weight of each sample of a batch, of that of its class."""
    return data_adapter_utils.class_weight_to_sample_weights(y, weights)


@contextmanager
def gradients_shown(model: Any, see: Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], None]) -> Iterator[None]:
    """While this holds, a training step of the model calls `see(variables, values, gradients)` before they are applied.

    They are those of the loss itself: if the optimizer scales it (`mixed_float16`), the scale is taken out again, and
    in a step that it skips, for gradients that are not finite, they are zero.
    """
    optimizer = model.optimizer
    stateless, name = keras.backend.backend() == "jax", "apply"
    if stateless:
        name = "stateless_apply"
    apply = getattr(optimizer, name)

    def show(*args: Any, **kwargs: Any) -> Any:
        variables = model.trainable_variables
        if stateless:
            state, gradients, values = args
        else:
            state, gradients, values = None, args[0], [variable.value for variable in variables]
        see(variables, values, _unscaled(optimizer, gradients, state))
        return apply(*args, **kwargs)

    object.__setattr__(optimizer, name, show)  # of this instance, and without Keras tracking it
    try:
        yield
    finally:
        object.__delattr__(optimizer, name)


def _unscaled(optimizer: Any, gradients: Sequence[Any], state: Sequence[Any] | None) -> Sequence[Any]:
    """Gradients without the scale of the loss; `state`: the optimizer's variables, where the step has them."""
    tensors = [None if each is None else keras.ops.convert_to_tensor(each) for each in gradients]
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        factor = getattr(optimizer, "loss_scale_factor", None) or 1.0
        return [None if each is None else each / factor for each in tensors]
    scale = optimizer.dynamic_scale if optimizer.built else optimizer.initial_scale
    if state is not None:
        scale = next(now for each, now in zip(optimizer.variables, state, strict=True) if each is scale)
    finite = optimizer.check_finite(gradients)
    return [None if each is None else keras.ops.where(finite, each / scale, 0.0) for each in tensors]


def calls_constraints(optimizer: Any) -> bool:
    """Whether an optimizer surely calls the constraint of each variable after it wrote it: it is Keras's own."""
    parts = [optimizer, getattr(optimizer, "inner_optimizer", optimizer)]  # of a LossScaleOptimizer
    parts += getattr(parts[-1], "optimizers", [])  # of a MultiOptimizer
    return all(is_of_keras(type(part)) for part in parts)


def writes_last(model: Any) -> bool:
    """Whether the optimizer of a model, one of Keras's own, is the last to write a weight in a step, apart from its
    constraint, and does so itself.

    It is not where moving averages are written back, where it does not write at each step as it accumulates gradients,
    where it calls another optimizer, or where the step is made on several devices at once.
    """
    optimizer = model.optimizer
    frequency = getattr(optimizer, "use_ema", False) and getattr(optimizer, "ema_overwrite_frequency", None)
    accumulates = getattr(optimizer, "gradient_accumulation_steps", None)
    calls_others = hasattr(optimizer, "inner_optimizer") or hasattr(optimizer, "optimizers")
    replicas = getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)
    return not (frequency or accumulates or calls_others or replicas > 1)


@contextmanager
def masked_writes(optimizer: Any, masks: Sequence[tuple[keras.Variable, keras.Variable]]) -> Iterator[set[int]]:
    """While this holds, an optimizer of TensorFlow writes `weight * mask` where it would write a weight.

    The product is then part of the optimizer's last pass over the weight, not another pass: half the cost. Constraints
    of these weights, which would be that other pass, are not called.

    Args:
        optimizer: The optimizer of a model for which `writes_last` holds.
        masks: Weights and their masks.

    Yields:
        A set that fills, while the model makes a step, with the `id` of each weight that was written so. Weights of
        which only some rows were written are not in it.
    """
    written: set[int] = set()
    found = {id(weight.value): (weight, mask) for weight, mask in masks}
    constraints = [(weight, weight.constraint) for weight, _ in masks]

    def masked(write: Callable[..., Any], change: Callable[[Any, Any], Any]) -> Callable[..., None]:
        def write_masked(variable: Any, value: Any) -> None:
            native = variable.value if isinstance(variable, keras.Variable) else variable
            weight, mask = found.get(id(native), (None, None))
            if weight is None or hasattr(value, "indices"):  # the latter: some rows
                written.discard(id(weight))
                write(variable, value)
            else:
                native.assign(change(native, keras.ops.cast(value, weight.dtype)) * mask.value)
                written.add(id(weight))

        return write_masked

    changes: dict[str, Callable[[Any, Any], Any]] = {
        "assign": lambda _, value: value,
        "assign_add": add,
        "assign_sub": sub,
    }
    for name, change in changes.items():
        object.__setattr__(optimizer, name, masked(getattr(optimizer, name), change))
    for weight, _ in constraints:
        weight.constraint = None
    try:
        yield written
    finally:
        for weight, constraint in constraints:
            weight.constraint = constraint
        for name in changes:
            object.__delattr__(optimizer, name)


class BackgroundCallback(keras.callbacks.Callback):
    """Callback that need not be called between a step and the next: see `ends_in_background`."""

    async_safe = False


@contextmanager
def ends_in_background(callbacks: Any) -> Iterator[None]:
    """While this holds, Keras may call `on_train_batch_end` of the first of these callbacks during the next step, if it
    allows that. Keras does so on JAX and torch where no callback has that hook, or all others allow it too: waiting for
    each step costs about a hundredth of it.

    Only of the first one: others could use the model, at the end of an epoch, before it has acted. And not of a custom
    subclass, which may have other hooks.
    """
    first = next(iter(callbacks), None) if isinstance(callbacks, list | tuple) else None
    if first is None or BackgroundCallback not in type(first).__bases__:
        yield
        return
    first.async_safe = True
    try:
        yield
    finally:
        del first.async_safe


def moving_averages(optimizer: Any) -> dict[int, keras.Variable]:
    """The optimizer's moving average of each variable that has one, by the variable's `id`."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    averages: dict[int, keras.Variable] = {}
    for part in getattr(optimizer, "optimizers", [optimizer]):  # of a MultiOptimizer
        if getattr(part, "use_ema", False) and getattr(part, "built", False):
            pairs = zip(part._trainable_variables, part._model_variables_moving_average, strict=True)
            averages.update((id(variable), average) for variable, average in pairs)
    return averages


def metric_direction(model: keras.Model, name: str) -> str | None:
    """Whether the compiled metric of this name is better when it goes "up" or "down"; None if unknown."""
    for group in model.metrics:
        for metric in getattr(group, "metrics", [group]):
            if metric.name == name and getattr(metric, "_direction", None) in ("up", "down"):
                return metric._direction
    return None
