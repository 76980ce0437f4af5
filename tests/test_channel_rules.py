"""Rules of structured pruning: every layer and operation of Keras is tried, or stands in a list with the reason."""

import channel_zoo
import channel_zoo_layers
import channel_zoo_ops
import pytest
from channel_zoo import check

CORE = channel_zoo_layers.CORE + channel_zoo_ops.CORE
MORE = channel_zoo_layers.MORE + channel_zoo_ops.MORE
INEXACT = channel_zoo_layers.INEXACT | channel_zoo_ops.INEXACT


@pytest.mark.parametrize(
    "build",
    [pytest.param(each, marks=pytest.mark.core) for each in CORE] + MORE,
    ids=[each.__name__ for each in CORE + MORE],
)
def test_small_model_computes_what_the_zeroed_original_does(build):
    result, error = check(build())
    assert (error is None) == (build.__name__ in INEXACT)
    assert result.model.count_params() < 0.75 * channel_zoo.randomise(build()).count_params()
