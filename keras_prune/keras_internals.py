"""What we need of Keras that it does not make public, in one place, to mend when Keras changes.

Checked with Keras 3.15. Everything else in this package uses Keras's public interface.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import add, sub
from typing import Any

import keras
import numpy as np
from keras.src import applications
from keras.src import ops as operations
from keras.src.backend.common import global_state
from keras.src.models import functional
from keras.src.tree import map_shape_structure

FUNCTIONAL: type[keras.Model] = functional.Functional


def sublayers(layer: keras.Layer) -> list[keras.Layer]:
    """The layers that `layer` holds directly, in the order in which it got them."""
    return list(layer._layers)


def is_graph(model: object) -> bool:
    """Whether `model` is a Sequential or Functional model that can be built again from its layers.

    A subclass with a constructor of its own (keras_hub's backbones, say) cannot: it would lose its class.
    """
    if isinstance(model, keras.Sequential):
        return type(model).__init__ is keras.Sequential.__init__
    return isinstance(model, functional.Functional) and functional.functional_like_constructor(type(model))


def inner_graph(operation: object) -> Any:
    """The model that an operation of a graph runs, if it can be built again: itself, or that of a `TimeDistributed`."""
    if isinstance(operation, keras.layers.TimeDistributed):
        return operation.layer if is_graph(operation.layer) and has_graph(operation.layer) else None
    return operation if is_graph(operation) else None


def run_graph(model: keras.Model, inputs: Any, replace: Callable[[Any], Any]) -> Any:
    """Calls the graph of a Sequential or Functional model on new symbolic inputs, with `replace(operation)` for each
    operation, in the order of `graph_nodes`."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    return graph._run_through_graph(inputs, operation_fn=replace)


def call_graph(model: keras.Model, inputs: Any, replace: Callable[[Any], Any]) -> Any:
    """Calls a Sequential or Functional model on inputs as users pass them, with `replace(operation)` for each
    operation. A model inside is one operation."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    return graph._run_through_graph(graph._standardize_inputs(inputs), operation_fn=replace)


def compiled_loss(model: keras.Model) -> tuple[Any, Any] | None:
    """The loss that a model was compiled with, as it was passed, and the weights of the losses; None without one."""
    found = getattr(model, "_compile_loss", None)
    return None if found is None else (found._user_loss, found._user_loss_weights)


def compiled_metrics(model: keras.Model) -> tuple[Any, Any]:
    """The metrics and the weighted metrics that a model was compiled with, as they were passed; None without any."""
    found = getattr(model, "_compile_metrics", None)
    return (None, None) if found is None else (found._user_metrics, found._user_weighted_metrics)


def has_default_build(layer: keras.Layer) -> bool:
    """Whether the layer's class has no `build` of its own: its sublayers are then built by calling it."""
    return getattr(layer.build, "_is_default", False)


def has_unbuilt_state(layer: keras.Layer) -> bool:
    """Whether some sublayer still lacks its variables, though Keras may call the layer itself built."""
    inner = layer._flatten_layers(include_self=False)
    return has_default_build(layer) and not all(sublayer.built for sublayer in inner)


def called_in_training() -> keras.Layer | None:
    """The outermost of the layers and models that are being called, if that is to train; else None."""
    context = global_state.get_global_attribute("current_call_ctx")
    return context.entry_layer if context is not None and context.get_value("training") is True else None


def set_build_signature(layer: keras.Layer, signature: inspect.Signature) -> None:
    """Makes Keras pass to the `build` of this layer the shapes that `signature` names."""
    layer.build.__signature__ = signature  # Keras wraps `build` for each instance, so this touches one layer only


def convert_inputs_like(wrapper: keras.Layer, layer: keras.Layer) -> None:
    """Makes `wrapper` convert, cast and accept its inputs just as `layer` does."""
    wrapper.autocast = layer.autocast
    wrapper._convert_input_args = layer._convert_input_args
    wrapper._allow_non_tensor_positional_args = layer._allow_non_tensor_positional_args


def copy_input_shape(source: keras.Layer, target: keras.Layer) -> None:
    """Hands on the `input_shape` that a first layer of a Sequential may be given as an argument."""
    shape = getattr(source, "_input_shape_arg", None)
    if shape is not None:
        target._input_shape_arg = shape


def symbolic_tensors(shapes: Any, dtype: str) -> Any:
    """Symbolic inputs of these shapes: one shape, or lists and dicts of shapes."""
    return map_shape_structure(lambda shape: keras.KerasTensor(shape, dtype=dtype), shapes)


@contextmanager
def unlocked(layer: keras.Layer) -> Iterator[None]:
    """Lets a built layer get more state, as Keras itself does to quantise or to add LoRA weights."""
    locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        yield
    finally:
        if locked:
            layer._tracker.lock()


def remove_sublayer(layer: keras.Layer, name: str) -> None:
    """Removes the sublayer held as attribute `name`, and its variables, from a built layer."""
    with unlocked(layer):
        layer._tracker.untrack(getattr(layer, name))
        delattr(layer, name)


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


@contextmanager
def masked_writes(model: Any, masks: Sequence[tuple[keras.Variable, keras.Variable]]) -> Iterator[set[int]]:
    """While this holds, the optimizer of a TensorFlow model writes `weight * mask` where it would write a weight.

    The product is then a part of the optimizer's last pass over the weight, not another pass: half the cost.

    Args:
        model: The model. Where something may write its weights after the optimizer, nothing happens: a training step
            or an optimizer that is not Keras's own, a constraint, moving averages that are written back. Nor does it
            where the optimizer does not write at each step, as it accumulates gradients, or writes on several devices
            at once.
        masks: Weights and their masks.

    Yields:
        A set that fills, while the model makes a step, with the `id` of each weight that was written so. Weights of
        which only some rows were written are not in it.
    """
    written: set[int] = set()
    optimizer = model.optimizer
    frequency = getattr(optimizer, "use_ema", False) and getattr(optimizer, "ema_overwrite_frequency", None)
    accumulates = getattr(optimizer, "gradient_accumulation_steps", None)
    replicas = getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)
    if optimizer is None or not is_of_keras(type(optimizer)) or frequency or accumulates or replicas > 1:
        yield written
        return
    found = {id(weight.value): (weight, mask) for weight, mask in masks if weight.constraint is None}

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
    try:
        yield written
    finally:
        for name in changes:
            object.__delattr__(optimizer, name)


class BackgroundCallback(keras.callbacks.Callback):
    """A callback that can do without being called between a step and the next: see `ends_in_background`."""

    async_safe = False


@contextmanager
def ends_in_background(callbacks: Any) -> Iterator[None]:
    """While this holds, Keras may call `on_train_batch_end` of the first of these callbacks beside the next step, if it
    can bear that. Keras does so on JAX and torch where no callback has that hook, or all others can bear it too:
    waiting for each step costs about a hundredth of it.

    Of the first one only: others could look at the model, at the end of an epoch, before it has acted. And not of a
    subclass of somebody else, which may have hooks of its own.
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


def _unscaled(optimizer: Any, gradients: Sequence[Any], state: Sequence[Any] | None) -> Sequence[Any]:
    """What gradients are without the scale of the loss; `state`: the optimizer's variables, where the step has them."""
    tensors = [None if each is None else keras.ops.convert_to_tensor(each) for each in gradients]
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        factor = getattr(optimizer, "loss_scale_factor", None) or 1.0
        return [None if each is None else each / factor for each in tensors]
    scale = optimizer.dynamic_scale if optimizer.built else optimizer.initial_scale
    if state is not None:
        scale = next(now for each, now in zip(optimizer.variables, state, strict=True) if each is scale)
    finite = optimizer.check_finite(gradients)
    return [None if each is None else keras.ops.where(finite, each / scale, 0.0) for each in tensors]


def moving_averages(optimizer: Any) -> dict[int, keras.Variable]:
    """The optimizer's moving average of each variable that has one, by the variable's `id`."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    averages: dict[int, keras.Variable] = {}
    for part in getattr(optimizer, "optimizers", [optimizer]):  # of a MultiOptimizer
        if getattr(part, "use_ema", False) and getattr(part, "built", False):
            pairs = zip(part._trainable_variables, part._model_variables_moving_average, strict=True)
            averages.update((id(variable), average) for variable, average in pairs)
    return averages


def flatten(layer: keras.Layer) -> list[keras.Layer]:
    """The layer and all layers in it, parents first."""
    return layer._flatten_layers()


def copy_operation(operation: Any, changes: Mapping[str, Any] | None = None) -> Any:
    """A new `keras.ops` operation of the same settings but for `changes`: the graph it is in stays as it was."""
    return type(operation).from_config(operation.get_config() | dict(changes or {}))


def copy_lambda(layer: keras.layers.Lambda) -> keras.layers.Lambda:
    """A new `Lambda` of the same function. (Its configuration holds code, which Keras rightly refuses to load.)"""
    return type(layer)(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        name=layer.name,
        dtype=layer.dtype_policy,
        trainable=layer.trainable,
    )


def copy_input(tensor: Any, shape: Sequence[int | None] | None = None) -> Any:
    """A new symbolic input like `tensor`, an input of a Functional or Sequential model, or of another shape."""
    layer = tensor._keras_history.operation
    shape = tuple(tensor.shape if shape is None else shape)
    if isinstance(layer, keras.layers.InputLayer):
        return keras.layers.InputLayer.from_config(layer.get_config() | {"batch_shape": shape}).output
    return keras.Input(batch_shape=shape, dtype=tensor.dtype)  # the model starts in the middle of a graph


def as_numpy(variable: keras.Variable) -> np.ndarray:
    """The variable's values as a read-only array, not copied where the backend can lend its memory."""
    value = variable.value
    tensor = value.read_value() if hasattr(value, "read_value") else keras.ops.stop_gradient(value)
    try:
        array = np.from_dlpack(tensor)
    except (BufferError, TypeError, RuntimeError, ValueError):  # on another device, or of a type NumPy does not know
        array = keras.ops.convert_to_numpy(tensor)
    view = array.view()
    view.flags.writeable = False
    return view


def set_value(variable: keras.Variable, value: np.ndarray) -> None:
    """Gives a variable a value: its first one, if Keras puts that off, as it does in a `keras.StatelessScope`.

    Raises:
        ValueError: The value has another shape.
    """
    if variable._value is not None:
        variable.assign(value)
        return
    if tuple(variable.shape) != value.shape:
        raise ValueError(f"Variable '{variable.path}' has shape {tuple(variable.shape)}. Received: {value.shape}")
    variable._initializer = lambda shape, dtype: value


def spread_like(variable: keras.Variable, other: keras.Variable) -> None:
    """Spreads a variable over the devices of the current `keras.distribution` as another of its shape is."""
    layout = getattr(other, "_layout", None)
    if layout is None or keras.distribution.distribution() is None or variable.shape != other.shape:
        return
    if variable._layout is not layout:
        variable._layout = layout
        if variable._value is not None:
            variable.assign(variable.value)


def graph_nodes(model: keras.Model) -> list[Any]:
    """The nodes of a Sequential or Functional model in the order of computation, without its inputs.

    A node has `operation`, `arguments` (`args`, `kwargs`) and `outputs`. Only this model's: a layer's own list of nodes
    also has those of other models that use it.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    nodes = graph._nodes_by_depth
    inputs = {id(tensor) for tensor in graph.inputs}
    return [
        node
        for depth in sorted(nodes, reverse=True)
        for node in nodes[depth]
        if not node.is_input and not all(id(tensor) in inputs for tensor in node.outputs)
    ]


def graph_ends(model: keras.Model) -> tuple[list[Any], list[Any]]:
    """The input and output tensors that `graph_nodes` begin and end with."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    return list(graph.inputs), list(graph.outputs)


def input_structure(model: keras.Model) -> Any:
    """The input tensors of a Sequential or Functional model: one, or lists or dicts of them, as its inputs come."""
    return (model._functional if isinstance(model, keras.Sequential) else model)._inputs_struct


def graph_structures(model: keras.Model) -> tuple[Any, Any]:
    """The input and output tensors of a Sequential or Functional model, in the structures that it takes and returns."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    return graph._inputs_struct, graph._outputs_struct


def operation_classes(*names: str) -> list[type]:
    """The classes of these `keras.ops` operations: `"numpy.Add"`. Those that this Keras lacks are left out."""
    pairs = (name.split(".") for name in names)
    found = (getattr(getattr(operations, module, None), name, None) for module, name in pairs)
    return [cls for cls in found if cls is not None]


def has_graph(model: keras.Model) -> bool:
    """Whether the nodes of this model and those in it are known: a Sequential without input shape has none."""
    models = [part for part in flatten(model) if is_graph(part)]
    return all(part._functional is not None for part in models if isinstance(part, keras.Sequential))


def application_classes(*names: str) -> list[type]:
    """The layer classes of `keras.applications`, which are not public: `"convnext.LayerScale"`. Likewise."""
    pairs = (name.split(".") for name in names)
    found = (getattr(getattr(applications, module, None), name, None) for module, name in pairs)
    return [cls for cls in found if cls is not None]


def attention_projections(layer: keras.Layer) -> dict[str, keras.Layer]:
    """The layers in a `MultiHeadAttention` or `GroupQueryAttention`: query, key, value, output and perhaps gate."""
    names = {"query": "_query_dense", "key": "_key_dense", "value": "_value_dense", "output": "_output_dense"}
    if getattr(layer, "_gate_dense", None) is not None:
        names["gate"] = "_gate_dense"
    return {name: getattr(layer, attribute) for name, attribute in names.items()}


def metric_direction(model: keras.Model, name: str) -> str | None:
    """Whether the compiled metric of this name is better when it goes "up" or "down"; None if it does not say."""
    for group in model.metrics:
        for metric in getattr(group, "metrics", [group]):
            if metric.name == name and getattr(metric, "_direction", None) in ("up", "down"):
                return metric._direction
    return None


def is_of_keras(kind: type) -> bool:
    """Whether Keras itself defines this class."""
    return kind.__module__.split(".")[0] == "keras"
