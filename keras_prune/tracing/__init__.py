"""Tracing: follows channels through a model: labels of tensors, bindings of weights, a rule for each operation."""

from keras_prune.tracing.binding import Binding
from keras_prune.tracing.rule_context import RuleContext, Unsupported
from keras_prune.tracing.rules import register_rule

__all__ = ["Binding", "RuleContext", "Unsupported", "register_rule"]
