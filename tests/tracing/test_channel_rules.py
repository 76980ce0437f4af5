"""Rules of structured pruning: every layer and operation of Keras is tried, or stands in a list with the reason."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers
from keras.src import ops as operations
from support import channel_stays, channel_zoo, channel_zoo_layers, channel_zoo_ops
from support.channel_zoo import check
from support.versions import needs_keras

import keras_prune as kp
from keras_prune import _keras
from keras_prune.graph.structure import Graph
from keras_prune.tracing.kept_channels import Kept
from keras_prune.tracing.labels import collapse

CORE = channel_zoo_layers.CORE + channel_zoo_ops.CORE
MORE = channel_zoo_layers.MORE + channel_zoo_ops.MORE
INEXACT = channel_zoo_layers.INEXACT | channel_zoo_ops.INEXACT


@pytest.mark.parametrize(
    "build",
    [pytest.param(each, marks=pytest.mark.core) for each in CORE] + MORE,
    ids=[each.__name__ for each in CORE + MORE],
)
def test_small_model_computes_what_the_zeroed_original_does(build):
    model = build()
    result, error = check(model)
    assert (error is None) == (build.__name__ in INEXACT)
    assert result.model.count_params() < 0.9 * model.count_params()
    assert not result.report.unknown
    again = kp.prune_channels(result.model, 0.0).report  # what was predicted of the small model is so
    assert again.macs_before == result.report.macs_after
    assert again.parameters_before == result.report.parameters_after
    assert sum(np.prod(weight.shape) for weight in result.model.weights) == result.report.parameters_after


def tried(model):
    """The layers and operations of a model at which channels arrive, or are made, that can go."""
    analysis = kp.analyze_channels(model)
    atoms = analysis.trace.found.atoms
    keep = np.ones(len(atoms), dtype=bool)
    for group in analysis.groups:
        keep[group.channels[group.free]] = False
    kept = Kept(keep[atoms.roots(np.arange(len(atoms)))])
    for part in filter(_keras.is_graph, _keras.flatten(model)):
        for node in Graph.of(part).nodes:
            labels = [analysis.trace.tensors[id(each)] for each in (*node.arguments.keras_tensors, *node.outputs)]
            if not all(kept.mask(collapse([each])[0]).all() for each in labels):
                layer = isinstance(node.operation, keras.Layer)
                yield from map(type, _keras.flatten(node.operation) if layer else [node.operation])


@pytest.fixture(scope="module")
def all_tried():
    return {cls for build in channel_zoo.EXACT + CORE + MORE for cls in tried(build())}


def public_layers():
    classes = inspect.getmembers(keras.layers, inspect.isclass)
    return {cls: cls.__name__ for _, cls in classes if issubclass(cls, keras.Layer)}


def public_operations():
    modules = ("core", "einops", "image", "linalg", "math", "nn", "numpy")
    return {
        cls: f"{name}.{cls.__name__}"
        for name in modules
        for _, cls in inspect.getmembers(getattr(operations, name), inspect.isclass)
        if issubclass(cls, keras.Operation) and cls.__module__ == f"keras.src.ops.{name}"
    }


@needs_keras("3.15", "ops.nanpercentile")  # the lists are those of the newest Keras
@pytest.mark.parametrize(
    ("classes", "listed", "zoo"),
    [
        (public_layers(), channel_stays.LAYERS, "channel_zoo_layers.py"),
        (public_operations(), channel_stays.OPERATIONS, "channel_zoo_ops.py"),
    ],
    ids=["layers", "operations"],
)
def test_everything_of_keras_is_tried_or_listed(classes, listed, zoo, all_tried):
    stay = channel_stays.names(listed)
    known = {name for cls, name in classes.items() if cls in all_tried}
    missing = sorted(set(classes.values()) - known - stay)
    assert not missing, (
        f"No model tries these, and no reason is given why channels stay at them: {missing}. Write a rule in "
        f"keras_prune/tracing/rules/ and a model in tests/support/{zoo}, or name it the reason in channel_stays.py."
    )
    assert not sorted(known & stay), "These are tried: take them out of channel_stays.py."
    assert not sorted(stay - set(classes.values())), "Keras has none of these: take them out of channel_stays.py."


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras adds the bias wrongly on TensorFlow only")
def test_heads_of_one_dimension_are_refused_where_keras_mistakes_their_bias():
    inputs = keras.Input((2, 5))
    x = layers.Dense(8, name="before")(inputs)
    x = layers.MultiHeadAttention(4, 2, name="attention")(x, x)
    model = keras.Model(inputs, layers.Dense(3, name="out")(layers.Flatten()(x)))
    with pytest.raises(ValueError, match=r"min_channels=2.*Received: 2 heads of one dimension left in 'attention'"):
        kp.prune_channels(model, 0.5)
    check(model, 0.5, min_channels=2)


@pytest.mark.core
def test_channels_go_where_windows_become_samples():
    found = kp.analyze_channels(channel_zoo_ops.windows_as_samples())
    assert [(group.name, bool(group.frozen)) for group in found.groups] == [
        ("before", False),
        ("within", False),
        ("out", True),
    ]


@pytest.mark.core
def test_channels_go_in_models_that_run_at_each_step():
    model = channel_zoo_layers.models_in_time()
    found = kp.analyze_channels(model)
    names = ["steps/before", "steps/rows/conv", "steps/end", "gru", "out"]
    assert [group.name for group in found.groups if not group.frozen] == names[:-1]
    assert [group.name for group in found.groups] == names
    (net,) = [layer.layer for layer in model.layers if layer.name == "steps"]
    assert kp.cost(model).macs == 3 * (kp.cost(net).macs + 7 * 12 + 4 * 12) + 4 * 2
    assert kp.cost(net).macs == 4 * 5 * (3 * 8 + 9 * 8 * 8) + 4 * (4 * 2 * 8 * 6) + 4 * 4 * 6 * 7
    assert not kp.analyze_layers(model).candidates


def test_a_model_at_each_step_keeps_what_lies_along_time():
    inputs = keras.Input((5, 3))
    x = layers.Permute((2, 1))(layers.Dense(4, name="before")(layers.Permute((2, 1))(inputs)))
    net = keras.Sequential([keras.Input((3,)), layers.Dense(8, name="hidden"), layers.Dense(6, name="end")])
    x = layers.TimeDistributed(net, name="steps")(x)
    result, _ = check(keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x))))
    assert {group.name for group in result.report.groups if not group.frozen} == {"steps/hidden"}
    assert "along the axis of time" in result.report.unknown["steps"]
    assert result.report.macs_before == 5 * 3 * 4 + 4 * (3 * 8 + 8 * 6) + 4 * 6 * 2


@pytest.mark.core
def test_a_part_without_entries_is_joined():
    """As the rest of a sequence that is as long as its window: nothing."""
    inputs = keras.Input((5, 3))
    x = layers.Dense(4, name="before")(inputs)
    x = keras.ops.concatenate([x[:, 5:], x], axis=1)
    result, error = check(keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x))))
    assert error is not None
    assert result.model.get_layer("before").units == 2
