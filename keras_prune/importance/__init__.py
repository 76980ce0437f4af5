"""Importance criteria: how much a weight or a channel matters, as a score; higher = keep.

A criterion is a function `unit -> scores`, or `(unit, statistics) -> scores` if it is measured on data. A unit is a
`Binding`, an axis of a weight and the channel at each position along it; or `SingleWeights`, in which each weight of an
array counts as a channel of its own. So most criteria score both. `CRITERIA` has all of them by name, with what each
needs, its formula and its source.
"""

from keras_prune.importance.from_weights import magnitude
from keras_prune.importance.registry import CRITERIA, Criterion, Importance
from keras_prune.importance.registry import elementwise as elementwise  # for other rooms; public is what `__all__` has
from keras_prune.importance.registry import name_of as name_of
from keras_prune.importance.registry import names as names
from keras_prune.importance.registry import needs_data as needs_data
from keras_prune.importance.registry import takes_statistics as takes_statistics
from keras_prune.importance.registry import weight_scorer as weight_scorer

__all__ = ["CRITERIA", "Criterion", "Importance", "magnitude"]
