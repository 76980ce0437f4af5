"""What plots show: the numbers that they were given, on the axes that they were given."""

import inspect
import itertools
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.namespace import namespace
from support.zoo import BACKEND, cnn

import keras_prune as kp
from keras_prune import plots
from keras_prune.selection.layout import Axes

matplotlib = pytest.importorskip("matplotlib", reason="the extra `plots`")
matplotlib.use("Agg")  # no window
plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")


@pytest.mark.parametrize("name", sorted(set(plots.__all__) - {"plot_autoprune", "plot_pareto"}))
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(getattr(plots, name)), re.S)
    exec(example, {**namespace(), name: getattr(plots, name)})
    assert plt.gcf().axes
    plt.close("all")


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    figure.canvas.draw()  # what cannot be drawn fails here
    plt.close(figure)


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def widths(container):
    return [bar.get_width() for bar in container]


def test_sparsity_has_a_bar_for_each_weight(ax):
    model = kp.prune_weights(cnn(), 0.5, targets={"conv1": 0.25, "dense": 0.75})
    summary = kp.summary(model)
    assert plots.plot_sparsity(summary, ax) is ax
    assert labels(ax) == ["conv1", "dense"]
    assert widths(ax.containers[0]) == [25.0, 75.0]
    assert legend(ax) == [f"all together: {summary.prunable_sparsity:.1%}"]
    assert ax.get_xlabel()


def test_channels_are_told_apart_by_what_became_of_them(ax):
    model = cnn()
    result = kp.prune_channels(model, 0.5)
    assert plots.plot_channels(result.report, ax) is ax
    assert labels(ax) == ["conv1", "dense"]
    kept, removed, fixed = map(widths, ax.containers)
    assert (kept, removed, fixed) == ([2, 0], [2, 0], [0, 6])
    again = plots.plot_channels(kp.explain(model, result))
    assert list(map(widths, again.containers)) == [kept, removed, fixed]
    plt.close(again.figure)


@pytest.mark.parametrize("spread", [1.0, 6.0], ids=["linear", "logarithmic"])
def test_the_histogram_counts_all_scores_on_their_side_of_the_threshold(ax, rng, spread):
    scores = rng.lognormal(0, spread, (40, 50))
    threshold = float(np.quantile(scores, 0.3))
    pruned = scores < threshold
    plots.plot_scores(scores, pruned, ax, threshold=threshold)
    assert ax.get_xscale() == ("log" if spread > 2 else "linear")
    below, above = map(list, ax.containers)  # what was kept, and on it what was removed
    kept = [(bar.get_x(), bar.get_height()) for bar in below]
    removed = [(bar.get_x() + bar.get_width(), bar.get_height()) for bar in above]
    assert sum(height for _, height in kept) == (~pruned).sum()
    assert sum(height for _, height in removed) == pruned.sum()
    assert min(left for left, height in kept if height) >= threshold * (1 - 1e-9)
    assert max(right for right, height in removed if height) <= threshold * (1 + 1e-9)
    assert legend(ax)[:2] == [f"kept ({(~pruned).sum():,})", f"removed ({pruned.sum():,})"]


@pytest.mark.parametrize("scores", [[], [2.0], [3.0, 3.0, 3.0], [0.0, 0.0], [-1.0, 0.0, 5.0]])
def test_few_equal_or_negative_scores_can_be_drawn(ax, scores):
    scores = np.array(scores)
    plots.plot_scores(scores, np.arange(len(scores)) < 1, ax, threshold=float(scores[0]) if len(scores) else None)
    assert sum(bar.get_height() for container in ax.containers for bar in container) == len(scores)


def test_scores_and_what_was_removed_must_have_one_shape(ax):
    with pytest.raises(ValueError, match="`pruned`"):
        plots.plot_scores(np.zeros((2, 3)), np.zeros(3, bool), ax)


def test_ranks_are_sorted(ax):
    plots.plot_ranks(np.array([3.0, 1.0, 2.0]), np.array([False, True, False]), ax)
    kept, removed = ax.containers
    assert [(bar.get_center()[0], bar.get_height()) for bar in kept] == [(2, 2.0), (3, 3.0)]
    assert [(bar.get_center()[0], bar.get_height()) for bar in removed] == [(1, 1.0)]
    named = plots.plot_ranks(np.array([3.0, 1.0]), np.array([False, True]), names=["b", "a"])
    assert labels(named) == ["a", "b"]
    plt.close(named.figure)


def test_a_mask_is_a_matrix_of_inputs_and_outputs(ax, rng):
    kept = rng.random((5, 3, 2, 4)) < 0.5
    plots.plot_mask(kept, ax)
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), kept.reshape(30, 4))
    assert len(ax.lines) == 14  # between 15 places of the window
    turned = plots.plot_mask(kept[0, 0], axes=Axes((), (1,), (0,)))
    np.testing.assert_array_equal(turned.images[0].get_array(), kept[0, 0].T)
    plt.close(turned.figure)


def test_names_are_no_mathematics_and_fifty_find_room():
    names = [f"block{i}_$x^{i}$_<b>_and_a_name_that_is_longer_than_the_plot_has_room_for" for i in range(50)]
    model = keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(8, name=name) for name in names)])
    axes = [plots.plot_sparsity(kp.summary(kp.prune_weights(model, 0.5)))]
    axes.append(plots.plot_channels(kp.prune_channels(model, 0.25).report))
    for ax in axes:
        ax.figure.canvas.draw()
        boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
        assert len(boxes) == 50
        assert all(upper.y0 > lower.y1 - 1 for upper, lower in itertools.pairwise(boxes))
        assert min(box.x0 for box in boxes) >= 0  # nothing is cut off
        assert all(r"\$x^" in label.get_text() for label in ax.get_yticklabels())
        plt.close(ax.figure)


def test_matplotlib_is_imported_when_something_is_drawn():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_prune, keras_prune.plots;"  # Keras has some of it
        "print(any(name.startswith('matplotlib') for name in set(sys.modules) - before))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    model = cnn()
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plots.plot_sparsity(kp.summary(model))
    with pytest.raises(ImportError, match="pip install matplotlib"):
        kp.explain(model, kp.prune_weights(model, 0.5)).to_html()
