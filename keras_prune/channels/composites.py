"""`register_composite`: the classes of models and layers that can be made with smaller sizes, and which sizes."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_prune import _keras
from keras_prune.channels.composite_rule import CompositeRule, Rule, Size
from keras_prune.channels.hub_rules import HUB_RULES

# By the name under which Keras registers a class, so that the package that has it is not imported.
_RULES: dict[str, Rule] = dict(HUB_RULES)


def register_composite(composite: type | str, *sizes: Size, kept: Mapping[str, str] | None = None) -> None:
    """Register which sizes of a custom model or layer can be smaller, for `prune_channels(keep_classes=True)`.

    The class must be made from its configuration, whose keys `sizes` are numbers of channels: of all the layers in it
    that have this number, as the feedforward layers of the blocks of a transformer, each of which then keeps equally
    many. Which axes of which weights they are is found out by making the class with half of the number. Sizes that only
    together can be smaller, as the heads of queries and those of keys and values, are given as a tuple: they keep their
    ratio, or the first alone becomes smaller and remains a multiple of the others, whichever way the channels allow. A
    later rule for the same class replaces the earlier one; subclasses have it too.

    Args:
        composite: The class; or the name under which it is registered with Keras, `"package>Name"`, so that it need not
            be imported.
        *sizes: Keys of its configuration, and tuples of them.
        kept: Other sizes that stay as they are, and why; the report says it. Defaults to None: none.

    Raises:
        TypeError: `composite` is neither a subclass of `keras.Layer` nor a name, or a size is neither text nor a tuple
            of texts.
        ValueError: There are no sizes, or a tuple has fewer than two.

    Example:

    ```python
    class Feedforward(keras.layers.Layer):
        def __init__(self, hidden_units, **kwargs):
            super().__init__(**kwargs)
            self.hidden_units = hidden_units
            self.hidden = keras.layers.Dense(hidden_units, activation="relu")

        def build(self, input_shape):
            self.out = keras.layers.Dense(input_shape[-1])
            self.hidden.build(input_shape)
            self.out.build((*input_shape[:-1], self.hidden_units))

        def call(self, inputs):
            return inputs + self.out(self.hidden(inputs))

        def get_config(self):
            return {**super().get_config(), "hidden_units": self.hidden_units}

    kp.channels.register_composite(Feedforward, "hidden_units")
    small = kp.prune_channels(model, 0.5, keep_classes=True).model
    ```
    """
    is_class = isinstance(composite, type) and issubclass(composite, keras.Layer)
    keys = [key for size in sizes for key in (size if isinstance(size, tuple) else (size,))]
    if not (is_class or isinstance(composite, str)) or not all(isinstance(key, str) for key in keys):
        raise TypeError(
            "`register_composite` takes a subclass of `keras.Layer`, or the name under which it is registered, and "
            f"keys of its configuration, or tuples of them. Received: {composite!r}, {', '.join(map(repr, sizes))}"
        )
    if not sizes:
        raise ValueError(f"`register_composite` takes at least one key of the configuration. Received: {composite!r}")
    if any(isinstance(size, tuple) and len(set(size)) < 2 for size in sizes):
        raise ValueError(
            "`register_composite`: a tuple names several keys, whose numbers keep their ratio. Received: "
            f"{composite!r}, {', '.join(map(repr, sizes))}"
        )
    name = composite if isinstance(composite, str) else name_of_class(composite)
    _RULES[name] = CompositeRule(sizes, dict(kept or {}))


def name_of_class(kind: type) -> str:
    """The name by which rules find a class: that under which it is registered with Keras, or else its own."""
    registered = keras.saving.get_registered_name(kind)
    return registered if ">" in registered else f"{kind.__module__}.{kind.__qualname__}"


def find_composite(layer: Any) -> CompositeRule | None:
    """The rule for the class of a layer, or the nearest class that it is made of."""
    names = (name_of_class(kind) for kind in type(layer).__mro__ if not _keras.is_of_keras(kind))
    rule = next((_RULES[name] for name in names if name in _RULES), None)
    return rule(layer.get_config()) if callable(rule) else rule


def composites_of(model: keras.Model) -> list[keras.Layer]:
    """The outermost layers of a model that have a rule, the model itself perhaps."""
    found = [layer for layer in _keras.flatten(model) if find_composite(layer) is not None]
    inside = {id(part) for layer in found for part in _keras.flatten(layer)[1:]}
    return [layer for layer in found if id(layer) not in inside]
