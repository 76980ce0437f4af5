"""What a model costs: parameters, multiply-accumulates, bytes, activation memory, latency."""

from keras_prune.costs.budget import Budget, BudgetRow
from keras_prune.costs.macs_change import MacsChange
from keras_prune.costs.model_cost import LayerCost, ModelCost, cost

__all__ = ["Budget", "BudgetRow", "LayerCost", "MacsChange", "ModelCost", "cost"]
