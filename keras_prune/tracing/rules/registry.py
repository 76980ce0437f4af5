"""The registry of rules: one for each operation, found by its exact class."""

from collections.abc import Callable
from typing import Any, TypeVar

from keras_prune import _keras
from keras_prune.tracing.rule_context import RuleContext

Rule = Callable[[RuleContext], Any]
R = TypeVar("R", bound=Rule)

_RULES: dict[type, Rule] = {}


def register_rule(*classes: type) -> Callable[[R], R]:
    """Register a rule: how channels flow through a custom layer, so that `prune_channels` prunes around and in it.

    A rule is a function of a `RuleContext`: one use of the layer in a model. It returns the labels of the layer's
    outputs. It is found by the layer's exact class, since a subclass may compute anything; a later rule for the same
    class replaces the earlier one. Without a rule, the channels that reach a layer are kept, unless it
    is seen to map each entry alone: without weights, or with one entry for each channel, along the last axis.

    In a rule, `call.mint` makes new channels, `call.bind` ties the axes of weights to channels, `call.resize("units",
    channels)` declares a number of channels in the layer's configuration. A layer that sums over channels, or
    multiplies some with others, without weights for them, declares it by `call.read()`. `call.multiply` declares what
    it multiplies, best before it may raise `Unsupported`: MACs are counted from that, and a rule that declares nothing
    counts as multiplying nothing.

    Args:
        *classes: Subclasses of `keras.Layer` (or of `keras.Operation`).

    Returns:
        A decorator, which returns the rule unchanged.

    Raises:
        TypeError: An argument is not a class.

    Example:

    ```python
    class Scale(keras.layers.Layer):
        def build(self, input_shape):
            self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones")

        def call(self, x):
            return x * self.gamma

    @register_rule(Scale)
    def scale(call):
        channels = call.vector(call.inputs[0], axis=-1)
        call.bind(call.operation.gamma, 0, channels, "through")
        return call.inputs[0]
    ```
    """
    if not all(isinstance(cls, type) for cls in classes):
        raise TypeError(
            f"`register_rule` takes the classes that the rule is for: `@register_rule(MyLayer)`. Received: {classes!r}"
        )

    def register(rule: R) -> R:
        _RULES.update(dict.fromkeys(classes, rule))
        return rule

    return register


def find_rule(operation: Any) -> Rule | None:
    """Return the rule for this operation's exact class, if there is one."""
    return _RULES.get(type(operation))


def register_operation(*names: str) -> Callable[[R], R]:
    """`register_rule` for `keras.ops` operations, by module and class: `"numpy.Add"`; unknown names are skipped."""
    return register_rule(*_keras.operation_classes(*names))
