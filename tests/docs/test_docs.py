"""The examples in docstrings run as they stand; tests/docs/test_guides.py runs those of the pages."""

import inspect
import warnings

import pytest
from support.namespace import namespace
from support.pages import blocks
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune import importance
from keras_prune.channels.statistics import ChannelStatistics

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")

ROOMS = [getattr(kp, name) for name in kp.__all__ if inspect.ismodule(getattr(kp, name))]
DOCUMENTED = [getattr(kp, name) for name in kp.__all__ if callable(getattr(kp, name))] + [
    importance.magnitude,
    ChannelStatistics,
    kp.measurement.WeightStatistics,
]
# What needs no example of its own: a result, and classes that `wrap_pruning` makes.
WITHOUT_EXAMPLE = {
    kp.automation.AutopruneResult,
    kp.insight.Explanation,
    kp.insight.MethodComparison,
    kp.insight.ModelComparison,
    kp.costs.ModelCost,
    kp.masking.PrunedModel,
    kp.masking.PruningWrapper,
    kp.selection.Selection,
    kp.insight.Sensitivity,
    kp.insight.SparsitySummary,
    kp.weights.LayerErrors,
}


@pytest.mark.parametrize("thing", DOCUMENTED, ids=lambda thing: thing.__name__)
def test_docstring_examples_run(thing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = [block.code for block in blocks(inspect.getdoc(thing) or "")]
    assert examples or thing in WITHOUT_EXAMPLE, f"{thing.__name__} has no example"
    for example in examples:
        names = namespace()
        if "batches" in example or "optimizer_state" in example:
            continue  # part of a training loop: tests/callbacks/test_loops.py runs whole ones
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Training ended")  # examples name real schedules, and train on little
            exec(example, names)


def test_every_public_name_says_what_it_does():
    for thing in DOCUMENTED:
        assert len(inspect.getdoc(thing) or "") > 40, thing
