"""Importance: how much a weight or a channel matters, as a score; higher = keep. One idea a file.

A criterion is a function `unit -> scores`, or `(unit, statistics) -> scores` if it is measured on data. A unit is a
`Binding`, an axis of a weight and the channel at each position along it; or `SingleWeights`, in which each weight of an
array counts as a channel of its own. So most criteria score both. `keras_prune.channels.ChannelImportance` finds those
of channels by name; `get` those of weights.
"""

from keras_prune.importance.magnitude import magnitude
from keras_prune.importance.single import Importance, elementwise, get, needs_data

__all__ = ["Importance", "elementwise", "get", "magnitude", "needs_data"]
