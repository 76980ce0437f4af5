"""The layers that `keras.applications` defines for itself."""

import numpy as np

from keras_prune import _keras
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules.registry import register_rule


@register_rule(*_keras.application_classes("convnext.LayerScale"))
def layer_scale(call: RuleContext) -> np.ndarray:
    channels = call.vector(call.inputs[0])
    call.bind(call.operation.gamma, 0, channels, "through")
    call.resize("projection_dim", channels)
    return call.inputs[0]


@register_rule(*_keras.application_classes("convnext.StochasticDepth"))
def stochastic_depth(call: RuleContext) -> np.ndarray:
    return call.inputs[0]


@register_rule(*_keras.application_classes("inception_resnet_v2.CustomScaleLayer"))
def custom_scale(call: RuleContext) -> np.ndarray:
    """`first + scale * second`."""
    if len(call.inputs) != 2 or call.inputs[0].shape != call.inputs[1].shape:
        raise Unsupported("it is not called on two tensors of one shape")
    call.unite(*call.inputs)
    return call.inputs[0]
