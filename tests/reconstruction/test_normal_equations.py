"""Normal equations: least squares as NumPy solves it, from sums of batches."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.channel_zoo import randomise

from keras_prune.reconstruction.normal_equations import NormalEquations, second_moments
from keras_prune.reconstruction.views.linear_views import linear_views
from keras_prune.validation import NotFiniteError

pytestmark = pytest.mark.core


def view_of(layer, shape):
    layer.build((None, *shape))
    return linear_views(randomise(layer))[0]


def start_of(view):
    return np.concatenate([view.matrices(), view.offsets()[:, None]], axis=1).astype("float64")


def added(view, x, y, step=7, **kwargs):
    equations = NormalEquations(view, **kwargs)
    for begin in range(0, len(x), step):
        equations.add(x[begin : begin + step], y[begin : begin + step])
    return equations


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(layers.Dense(3), (6,)), (layers.Conv2D(4, 3, groups=2), (5, 5, 4)), (layers.DepthwiseConv2D(3), (5, 5, 2))],
)
def test_without_a_ridge_it_is_what_lstsq_finds(layer, shape, rng):
    view = view_of(layer, shape)
    x = rng.normal(3.0, 1.0, (60, *shape)).astype("float32")
    outputs = ops.convert_to_numpy(layer(x))
    y = outputs + rng.normal(size=outputs.shape).astype("float32")
    equations = added(view, x, y)
    found = equations.solve(start_of(view))
    columns, rows = view.columns(x).astype("float64"), view.rows(y)
    for group in range(view.groups):
        given = np.concatenate([columns[group], np.ones((len(columns[group]), 1))], axis=1)
        expected, *_ = np.linalg.lstsq(given, rows[group], rcond=None)
        np.testing.assert_allclose(found[group], expected, atol=1e-9)
        residual = np.square(given @ expected - rows[group]).sum(axis=0)
        np.testing.assert_allclose(equations.error(found)[group], residual, rtol=1e-8)
    assert equations.rows == columns.shape[1]


def test_the_error_never_rises_whatever_the_ridge(rng):
    view = view_of(layers.Dense(3), (6,))
    x, y = rng.normal(size=(40, 6)).astype("float32"), rng.normal(size=(40, 3)).astype("float32")
    equations, start = added(view, x, y), start_of(view)
    errors = [equations.error(equations.solve(start, ridge)).sum() for ridge in (0.0, 1e-3, 1.0, 100.0)]
    assert errors == sorted(errors)
    assert errors[-1] < equations.error(start).sum()


def test_fewer_rows_than_inputs_stay_near_the_start(rng):
    """Of all weights that fit, those that are closest to the weights as they are: a change in no other direction."""
    view = view_of(layers.Dense(2), (9,))
    x, y = rng.normal(size=(4, 9)).astype("float32"), rng.normal(size=(4, 2)).astype("float32")
    equations, start = added(view, x, y, intercept=False), start_of(view)[:, :-1]
    found = equations.solve(start)
    np.testing.assert_allclose(x @ found[0], y, atol=1e-6)
    change = (found - start)[0]
    inside = np.linalg.lstsq(x.T, change, rcond=None)[0]
    np.testing.assert_allclose(x.T @ inside, change, atol=1e-6)


def test_the_ridge_of_cross_validation(rng):
    """Little where there are many rows, much where few; and copies of a column are absorbed."""
    view = view_of(layers.Dense(2), (20,))
    start = start_of(view)
    truth = start[0, :-1] + 0.1 * rng.normal(size=(20, 2))
    fresh = rng.normal(size=(500, 20))
    errors = []
    for size in (22, 2000):
        x = rng.normal(size=(size, 20)).astype("float32")
        y = (x @ truth + start[0, -1] + rng.normal(size=(size, 2))).astype("float32")
        equations = added(view, x, y, step=500)
        found = [equations.solve(start, ridge)[0] for ridge in (None, 1e-9)]
        errors.append([np.square(fresh @ (each[:-1] - truth)).mean() for each in found])
    assert errors[0][0] < 0.5 * errors[0][1]
    assert errors[1][0] < 1.3 * errors[1][1]
    x[:, 1] = x[:, 0]
    y = (x @ truth).astype("float32")
    equations = added(view, x, y, step=500)
    assert equations.error(equations.solve(start, None)).max() < 1e-8 * equations.squares.max()


def test_constant_and_zero_inputs(rng):
    """A constant input is a second bias, and an input that is always zero keeps its weight."""
    view = view_of(layers.Dense(2), (4,))
    x = rng.normal(size=(30, 4)).astype("float32")
    x[:, 1], x[:, 2] = 2.0, 0.0
    y = (x @ rng.normal(size=(4, 2)) + 1.0).astype("float32")
    equations, start = added(view, x, y), start_of(view)
    for ridge in (0.0, 1e-6, None):
        found = equations.solve(start, ridge)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[0, 2], start[0, 2])
        assert equations.error(found).max() < 1e-3


def test_samples_are_taken_in_chunks(rng, monkeypatch):
    view = view_of(layers.Conv2D(3, 3, padding="same"), (6, 6, 2))
    x, y = rng.normal(size=(9, 6, 6, 2)).astype("float32"), rng.normal(size=(9, 6, 6, 3)).astype("float32")
    whole = added(view, x, y, step=9)
    monkeypatch.setattr("keras_prune.reconstruction.normal_equations.CHUNK", 3000)
    widths = [columns.shape[1] for columns, _ in NormalEquations(view).chunks(x, y)]
    assert len(widths) == 3
    assert sum(widths) == 9 * 36
    parts = added(view, x, y, step=9)
    np.testing.assert_allclose(parts.gram, whole.gram, rtol=1e-12)
    np.testing.assert_allclose(parts.cross, whole.cross, rtol=1e-10, atol=1e-10)


def model():
    x = inputs = keras.Input((6, 4))
    x = layers.Conv1D(4, 3, groups=2, padding="same", name="conv")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.GRU(3, name="gru")(x)
    return randomise(keras.Model(inputs, layers.Dense(2, name="dense")(x)))


def test_second_moments_of_all_layers_in_one_pass(rng):
    net = model()
    x = rng.normal(size=(10, 6, 4)).astype("float32")
    conv, attention, gru, dense = (net.get_layer(name) for name in ("conv", "attention", "gru", "dense"))
    views = [view for part in (conv, attention._output_dense, gru.cell, dense) for view in linear_views(part)]
    found = second_moments(net, views, [(x[:5], None, None), (x[5:], None, None)])
    assert [each.rows for each in found] == [60, 60, 60, 60, 10]
    columns = views[0].columns(x).astype("float64")
    np.testing.assert_allclose(found[0].gram, np.swapaxes(columns, 1, 2) @ columns, rtol=1e-6)
    last = ops.convert_to_numpy(keras.Model(net.input, gru.output)(x)).astype("float64")
    np.testing.assert_allclose(found[-1].gram[0], last.T @ last, rtol=1e-4, atol=1e-6)
    read = ops.convert_to_numpy(keras.Model(net.input, gru.input)(x)).astype("float64").reshape(60, 4)
    np.testing.assert_allclose(found[2].gram[0], read.T @ read, rtol=1e-4, atol=1e-5)


def test_inputs_must_be_finite():
    net = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    with pytest.raises(NotFiniteError, match="finite"):
        second_moments(net, linear_views(net.layers[0]), [(np.full((3, 2), np.inf, "float32"), None, None)])
