"""No label of a plot lies on another or is cut off, whatever its names; and every plot is a function of `plots`."""

import importlib
import pkgutil

import keras
import numpy as np
import pytest
from support.plot_labels import overlaps
from support.search_results import search_result
from support.zoo import BACKEND, nested

import keras_prune as kp
import tflite_export
from keras_prune import plots
from keras_prune.insight import Explanation, MethodComparison, ModelComparison, Sensitivity
from keras_prune.insight.comparison.methods import MethodPoint
from keras_prune.insight.comparison.rows import ModelRow
from keras_prune.insight.sensitivity.scan import SensitivityCurve
from tflite_export.reporting import Report

matplotlib = pytest.importorskip("matplotlib", reason="the extra `plots`")
matplotlib.use("Agg")  # no window
plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")

LONG = "a_rather_long_name_of_a_model_or_layer_that_somebody_{}_chose"
METRIC = "a_metric_of_a_name_that_is_not_short_at_all_and_goes_on_and_on"


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def row(name, scores, number=1):
    return ModelRow(
        name, "Keras", scores, 1000 * number, 900, 5000, 4000, 40_000, 30_000 // number, "weights", 1.5, "Keras"
    )


def comparison(names, scores):
    return ModelComparison(tuple(row(name, scores, index + 1) for index, name in enumerate(names)))


def deep(count=12):
    return keras.Sequential(
        [keras.Input((8,), name="input"), *(keras.layers.Dense(8, name=LONG.format(i)) for i in range(count))],
        name=LONG.format("here"),
    )


def branches(count=6):
    inputs = x = keras.Input((8,))
    for index in range(count):
        x = x + keras.layers.Dense(8, activation="relu", name=LONG.format(index))(x)
    return keras.Model(inputs, keras.layers.Dense(2)(x), name=LONG.format("here"))


def explained(model):
    return kp.explain(model, kp.prune_layers(model, ratio=0.5))


def curves(count=20):
    levels = (0.3, 0.6, 0.9)
    found = [SensitivityCurve(LONG.format(i), 8, (0.9, 0.9 - i / 40, 0.3), ("x",)) for i in range(count)]
    return Sensitivity("weights", METRIC, True, 0.91, levels, tuple(found))


def methods():
    points = [MethodPoint("dense", None, 1.0, row("dense", {METRIC: 0.9}))]
    for index, name in enumerate(("weights", "channels", "layers", "control")):
        points += [MethodPoint(name, 1 / n, 1 / n, row(name, {METRIC: 0.9 - index / 10}, n)) for n in (2, 3)]
    return MethodComparison(LONG.format("here"), 3, tuple(points), {})


CLOSE = search_result(
    [f"channels-{i}" for i in range(12)],
    [41_000 + 20 * i for i in range(12)],
    [0.90 + 0.0004 * i for i in range(12)],
)
DRAWN = {
    "plot_autoprune": lambda: plots.plot_autoprune(search_result(["dense", LONG.format("one")])),
    "plot_channel_groups": lambda: plots.plot_channel_groups(kp.analyze_channels(deep())),
    "plot_channels": lambda: plots.plot_channels(kp.prune_channels(deep(), 0.5).report),
    "plot_cost": lambda: plots.plot_cost(kp.cost(deep())),
    "plot_decisions": lambda: plots.plot_decisions(
        search_result([LONG.format(i) for i in range(9)], range(1, 10), [0.5] * 9).decisions
    ),
    "plot_expansion": lambda: plots.plot_expansion(kp.expansion.report(kp.expand(nested()))),
    "plot_explanation": lambda: plots.plot_explanation(explained(branches())),
    "plot_layer_candidates": lambda: plots.plot_layer_candidates(kp.analyze_layers(branches())),
    "plot_layer_errors": lambda: plots.plot_layer_errors(kp.layer_errors(deep(2), np.ones((8, 8), "float32"))),
    "plot_layers": lambda: plots.plot_layers(kp.prune_layers(branches(), ratio=0.5).report),
    "plot_mask": lambda: plots.plot_mask(np.ones((3, 3, 200, 300), bool), title=LONG.format("here")),
    "plot_methods": lambda: plots.plot_methods(methods(), cost="effective_macs"),
    "plot_models": lambda: plots.plot_models(
        comparison([LONG.format(i) for i in range(8)], {"loss": 0.5, METRIC: 0.9})
    ),
    "plot_pareto": lambda: plots.plot_pareto(CLOSE.front),
    "plot_ranks": lambda: plots.plot_ranks(
        np.arange(9.0), np.arange(9) < 4, names=[LONG.format(i) for i in range(9)], title=LONG
    ),
    "plot_report": lambda: plots.plot_report(kp.prune_channels(deep(), 0.5).report),
    "plot_scores": lambda: plots.plot_scores(
        np.geomspace(1e-9, 1e9, 500), np.arange(500) < 99, threshold=1e-3, title=LONG
    ),
    "plot_sensitivity": lambda: plots.plot_sensitivity(curves()),
    "plot_sparsity": lambda: plots.plot_sparsity(kp.summary(kp.prune_weights(deep(), 0.5))),
}


@pytest.mark.parametrize("name", plots.__all__)
def test_no_label_lies_on_another_or_is_cut_off(name):
    assert overlaps(DRAWN[name]()) == ([], [])


@pytest.mark.parametrize("names", [2, 3, 4, 8])
@pytest.mark.parametrize("scores", [{}, {"loss": 0.5}, {"loss": 0.5, "accuracy": 0.9, METRIC: 0.4}], ids=len)
def test_models_of_any_number_and_names_find_room(names, scores):
    for label in ("model {}", "pruned by channels {}", LONG):
        assert overlaps(comparison([label.format(i) for i in range(names)], scores).plot()) == ([], [])


def test_in_the_axes_of_a_user_they_find_room_too():
    figure, axes = plt.subplots(1, 2, figsize=(14, 5), layout="constrained")
    comparison(["dense", "pruned by weights", "pruned by channels", "int8 file"], {"loss": 0.5}).plot(axes[0])
    plots.plot_sparsity(kp.summary(kp.prune_weights(deep(4), 0.5)), axes[1])
    assert [overlaps(each) for each in figure.axes] == [([], [])] * 2


@pytest.mark.parametrize("spread", [1.0001, 1.5, 3.0, 50.0])
def test_the_names_on_a_front_are_apart_however_near_its_points(spread):
    names = [f"weights-{i}" for i in range(6)]
    front = search_result(names, [int(1e6 * spread**i) for i in range(6)], [0.9 + 0.001 * i for i in range(6)]).front
    ax = front.plot()
    assert {text.get_text() for text in ax.texts} >= set(names)
    assert overlaps(ax) == ([], [])


# Every plot that a result has is there.

BY_CLASS = {
    "AutopruneResult": plots.plot_autoprune,
    "ChannelAnalysis": plots.plot_channel_groups,
    "ChannelReport": plots.plot_report,  # `plot_channels` shows more
    "Decisions": plots.plot_decisions,
    "Expansion": plots.plot_expansion,
    "Explanation": plots.plot_explanation,
    "LayerAnalysis": plots.plot_layer_candidates,
    "LayerErrors": plots.plot_layer_errors,
    "LayerReport": plots.plot_layers,
    "MethodComparison": plots.plot_methods,
    "ModelComparison": plots.plot_models,
    "ModelCost": plots.plot_cost,
    "ParetoFront": plots.plot_pareto,
    "Records": plots.plot_decisions,
    "Sensitivity": plots.plot_sensitivity,
    "SparsitySummary": plots.plot_sparsity,
}


def reports(package):
    """All classes of reports of a package."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".workers." not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, left = set(), [Report]
    while left:
        for each in left.pop().__subclasses__():
            left.append(each)
            found.add(each)
    return {each.__name__ for each in found if each.__module__.split(".")[0] == package.__name__}


def test_each_result_has_a_function_that_draws_it():
    assert reports(kp) == set(BY_CLASS)
    assert {function.__name__ for function in BY_CLASS.values()} <= set(plots.__all__)
    assert set(DRAWN) == set(plots.__all__)


@pytest.mark.parametrize(
    "result",
    [
        lambda: kp.cost(deep(2)),
        lambda: kp.analyze_channels(deep(2)),
        lambda: kp.analyze_layers(branches(2)),
        lambda: kp.prune_layers(branches(2), ratio=0.5).report,
        lambda: kp.prune_channels(deep(2), 0.5).report,
        lambda: kp.summary(deep(2)),
        search_result,
        lambda: search_result().decisions,
        lambda: search_result().front,
        lambda: curves(3),
        methods,
        lambda: comparison(["a", "b"], {"loss": 1.0}),
        lambda: kp.explain(deep(2), kp.prune_weights(deep(2), 0.5)),
    ],
)
def test_the_function_draws_what_the_result_draws(result):
    found = result()
    texts = [
        [text for text, _ in _texts(ax)]
        for ax in (found.plot(), BY_CLASS[type(found).__name__](found), plots.plot_report(found))
    ]
    assert texts[0] == texts[1] == texts[2]


def _texts(ax):
    from support.plot_labels import boxes

    return boxes(ax)


def test_reports_of_files_are_drawn_by_the_one_for_all(tflite_files):
    _, paths = tflite_files
    ax = plots.plot_report(tflite_export.inspect(paths["float32"]))
    assert overlaps(ax) == ([], [])
    assert reports(tflite_export) >= {"ExportReport", "Benchmark", "FileReport"}


@pytest.mark.parametrize("given", [None, 3, "cost", Report, Explanation])
@pytest.mark.parametrize("name", ["plot_report", "plot_cost", "plot_layers", "plot_decisions", "plot_autoprune"])
def test_what_is_no_result_is_refused(name, given):
    with pytest.raises(TypeError, match=r"must be .* Received: "):
        getattr(plots, name)(given)
