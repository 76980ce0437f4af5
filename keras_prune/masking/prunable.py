"""Registry of the prunable weights of each layer class.

A class is looked up with its bases, the nearest first, so subclasses of a registered class work. Of a composite layer
of another class (attention, `Bidirectional`, a custom block), the prunable weights of its sublayers are taken.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import keras

from keras_prune import _keras
from keras_prune.masking.mask_state import MaskState

Weights = dict[str, keras.Variable]
GetWeights = Callable[[keras.Layer], Weights]

_REGISTRY: dict[type, GetWeights] = {}


def register_prunable(cls: type, weights: Sequence[str] | GetWeights) -> None:
    """Register the weights of a layer class, and of its subclasses, that can be pruned.

    A custom layer may instead have a method `get_prunable_weights()` that returns `{name: variable}`, or a list of
    variables.

    Args:
        cls: A subclass of `keras.Layer`.
        weights: Names of attributes that hold the weights, or a function `layer -> {name: variable}`. Empty: layers
            of this class are never pruned.

    Raises:
        TypeError: `cls` is no layer class, or `weights` is neither a list of names nor a function.

    Example:

    ```python
    class Scale(keras.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")

        def call(self, x):
            return x * self.scale

    register_prunable(Scale, ["scale"])
    ```
    """
    if not (isinstance(cls, type) and issubclass(cls, keras.Layer)):
        raise TypeError(f"`cls` must be a subclass of `keras.Layer`. Received: cls={cls!r}")
    if callable(weights):
        _REGISTRY[cls] = weights
    elif isinstance(weights, list | tuple | set) and all(isinstance(name, str) for name in weights):
        names = tuple(weights)
        _REGISTRY[cls] = lambda layer: {name: getattr(layer, name) for name in names}
    else:
        raise TypeError(
            "`weights` must be a list of attribute names or a function `layer -> {name: variable}`. "
            f"Received: weights={weights!r}"
        )


@dataclasses.dataclass(frozen=True)
class Held:
    """Weight, and the layer that holds it itself, perhaps a sublayer.

    Args:
        layer: The layer.
        name: Name of the weight in it: `"kernel"`.
        weight: The variable.
    """

    layer: keras.Layer
    name: str
    weight: keras.Variable

    @property
    def is_alive(self) -> bool:
        """Whether the layer still has the variable: `quantize` puts others in its place."""
        return any(variable is self.weight for variable in self.layer.variables)

    def place(self, within: keras.Layer) -> dict[str, Any]:
        """Where the weight is in a layer, for a copy or a file: by position, since names may be automatic ones."""
        part = next(number for number, part in enumerate(_parts(within)) if part is self.layer)
        number = next(number for number, each in enumerate(_variables(self.layer)) if each is self.weight)
        return {"weight": self.name, "part": part, "variable": number}

    @classmethod
    def at(cls, within: keras.Layer, place: Mapping[str, Any]) -> Self:
        """The weight at the same place in another layer.

        Raises:
            ValueError: There is none.
        """
        try:
            layer = list(_parts(within))[place["part"]]
            return cls(layer, place["weight"], _variables(layer)[place["variable"]])
        except IndexError:
            raise ValueError(
                "A layer with masks must have its weights before they are loaded: its model's class needs a `build`, "
                "or `get_build_config` and `build_from_config`, that makes them. "
                f"Received: the layer '{within.name}' without its '{place['weight']}'"
            ) from None


def _parts(layer: keras.Layer) -> Iterator[keras.Layer]:
    """The layer and those in it, without masks, each before what it holds, and that before the next."""
    yield layer
    for child in _keras.sublayers(layer):
        if not isinstance(child, MaskState):
            yield from _parts(child)


def _variables(layer: keras.Layer) -> list[keras.Variable]:
    """The variables of a layer, in whose sublayers others may have put masks."""
    states = [part for part in _keras.flatten(layer) if isinstance(part, MaskState)]
    masks = {id(variable) for state in states for variable in state.variables}
    return [variable for variable in layer.variables if id(variable) not in masks]


@dataclasses.dataclass(frozen=True)
class Prunable:
    """The prunable weights of a layer.

    Args:
        held: The weights, and the layers that hold them, by name; those of sublayers by path: `"query/kernel"`.
        reason: Why there are none. Defaults to "": there are some.
    """

    held: dict[str, Held]
    reason: str = ""

    @property
    def weights(self) -> Weights:
        """The variables by name."""
        return {name: held.weight for name, held in self.held.items()}


def find_prunable(layer: keras.Layer) -> Prunable:
    """The prunable weights of a built layer, or the reason why it has none."""
    if not layer.weights:
        return Prunable({}, "has no weights")
    changed = next((part for part in _parts(layer) if part is not layer and _is_computed(part)), None)
    if changed is not None:
        return Prunable({}, f"'{changed.name}' in it is quantised or has LoRA weights")
    found = _held_by(layer)
    if found is None:
        return Prunable({}, "kind not registered (see register_prunable)")
    if not found:
        return Prunable({}, "never pruned")
    plain: dict[str, Held] = {}
    for name, held in found.items():
        if _is_plain(held.weight) and all(held.weight is not other.weight for other in plain.values()):
            plain[name] = held
    if not plain:
        return Prunable({}, "its weights are quantised or computed (LoRA), not plain float variables")
    return Prunable(plain)


def _held_by(layer: keras.Layer) -> dict[str, Held] | None:
    """The registered weights of a layer, whatever their type; None if its class is unknown."""
    if hasattr(layer, "get_prunable_weights"):
        return _hold(layer, layer.get_prunable_weights())
    for cls in type(layer).__mro__:
        if cls in _REGISTRY:
            return _hold(layer, _REGISTRY[cls](layer))
    found: dict[str, Held] = {}
    seen: set[int] = set()
    known = False
    for child in _keras.sublayers(layer):
        inner = _held_by(child)
        known |= inner is not None
        for name, held in (inner or {}).items():
            if id(held.weight) not in seen:  # a weight that two sublayers share has one mask
                seen.add(id(held.weight))
                found[_unused(f"{child.name}/{name}", found)] = held
    return found if known else None


def _hold(layer: keras.Layer, weights: Weights | Sequence[keras.Variable]) -> dict[str, Held]:
    if isinstance(weights, Mapping):
        return {name: Held(layer, name, weight) for name, weight in weights.items()}
    held: dict[str, Held] = {}
    for weight in weights:
        name = _unused(weight.name, held)
        held[name] = Held(layer, name, weight)
    return held


def _unused(name: str, taken: dict[str, Held]) -> str:
    """Sublayers of a custom layer may share a name: the second `dense/kernel` becomes `dense/kernel_1`."""
    unused, count = name, 0
    while unused in taken:
        count += 1
        unused = f"{name}_{count}"
    return unused


def _is_computed(layer: keras.Layer) -> bool:
    policy = getattr(layer, "dtype_policy", None)
    return getattr(layer, "lora_enabled", False) or isinstance(policy, keras.dtype_policies.QuantizedDTypePolicy)


def _is_plain(weight: object) -> bool:
    return isinstance(weight, keras.Variable) and keras.backend.is_float_dtype(weight.dtype)


def _tables(layer: keras.Layer) -> Weights:
    """The table of a `ReversibleEmbedding`, and that of the way back unless they are tied."""
    names = ["embeddings"] if layer.tie_weights else ["embeddings", "reverse_embeddings"]
    return {name: getattr(layer, name) for name in names}


def _register_keras_layers() -> None:
    layers = keras.layers
    kernel_layers = (
        layers.Dense,
        layers.EinsumDense,
        layers.Conv1D,
        layers.Conv2D,
        layers.Conv3D,
        layers.Conv1DTranspose,
        layers.Conv2DTranspose,
        layers.Conv3DTranspose,
        layers.DepthwiseConv1D,
        layers.DepthwiseConv2D,
    )
    for cls in kernel_layers:
        register_prunable(cls, ["kernel"])
    for cls in (layers.SeparableConv1D, layers.SeparableConv2D):
        register_prunable(cls, ["depthwise_kernel", "pointwise_kernel"])
    register_prunable(layers.Embedding, ["embeddings"])
    if hasattr(layers, "ReversibleEmbedding"):
        register_prunable(layers.ReversibleEmbedding, _tables)
    for cls in (layers.SimpleRNNCell, layers.LSTMCell, layers.GRUCell):
        register_prunable(cls, ["kernel", "recurrent_kernel"])
    # The cell of ConvLSTM has no public class. The other recurrent layers have the weights of their cells.
    for cls in (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D):
        register_prunable(
            cls, lambda layer: {"kernel": layer.cell.kernel, "recurrent_kernel": layer.cell.recurrent_kernel}
        )
    for cls in (
        layers.BatchNormalization,
        layers.LayerNormalization,
        layers.GroupNormalization,
        layers.RMSNormalization,
        layers.UnitNormalization,
        layers.Normalization,
        layers.PReLU,
    ):
        register_prunable(cls, [])


_register_keras_layers()
