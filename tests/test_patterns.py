"""N:M and block patterns, on weights whose masks can be computed by hand, and against naive loops."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import keras_prune as kp
from keras_prune.importance import magnitude
from keras_prune.masking.layouts import find_axes
from keras_prune.masking.masked_weights import find_masked
from keras_prune.selection import Candidate
from keras_prune.selection.layout import Axes, default_axes
from keras_prune.selection.top_k import count_kept


def select(selection, weight, sparsity, kept=None, axes=None):
    weight = np.asarray(weight, np.float32)
    kept = np.ones(weight.shape, bool) if kept is None else np.asarray(kept, bool)
    (mask,) = selection.select([lambda: Candidate(weight, magnitude, kept, axes)], sparsity, 0)
    return mask


def test_two_of_four_by_hand():
    column = [[4], [1], [3], [2], [1], [1], [1], [1], [9], [8]]  # ties by position; the last group has two: both stay
    expected = [1, 0, 1, 0, 1, 1, 0, 0, 1, 1]
    assert select(kp.NByM(2, 4), column, 0.5)[:, 0].astype(int).tolist() == expected


def test_a_last_group_of_three_keeps_two():
    assert select(kp.NByM(2, 4), [[1], [2], [3], [4], [7], [5], [6]], 0.5)[:, 0].astype(int).tolist() == [
        *[0, 0, 1, 1],
        *[1, 0, 1],
    ]


def test_on_the_way_exactly_the_asked_number_is_kept_and_only_such_go_as_may():
    weight = np.array([[4.0], [1], [3], [2], [40], [10], [30], [20]])
    # 10 and 20 may go, 1 and 2 may go, 3 and 4 may not, though they are smaller than 10.
    assert select(kp.NByM(2, 4), weight, 0.375)[:, 0].astype(int).tolist() == [1, 0, 1, 0, 1, 0, 1, 1]
    assert select(kp.NByM(2, 4), weight, 0.0).all()


AXES = {
    "dense": (default_axes(2), (8, 3)),
    "odd": (default_axes(2), (7, 2)),
    "conv": (default_axes(4), (3, 3, 6, 2)),
    "transposed": (Axes((0, 1), (3,), (2,)), (2, 2, 3, 9)),
    "depthwise": (Axes((), (0, 1), (2, 3)), (3, 3, 4, 1)),
    "attention output": (Axes((), (0, 1), (2,)), (3, 2, 5)),
}


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (1, 4), (3, 5)])
def test_full_pattern_equals_a_naive_loop(name, n, m, rng):
    axes, shape = AXES[name]
    weight = rng.normal(size=shape).astype(np.float32)
    mask = select(kp.NByM(n, m), weight, 1 - n / m, axes=axes)
    cube, kept = axes.cube(np.abs(weight)), axes.cube(mask)
    for window in range(cube.shape[0]):
        for output in range(cube.shape[2]):
            for start in range(0, cube.shape[1], m):
                group = cube[window, start : start + m, output]
                expected = np.zeros(len(group), bool)
                expected[np.argsort(-group)[:n]] = True
                np.testing.assert_array_equal(kept[window, start : start + m, output], expected)


@settings(max_examples=60)
@given(
    rows=st.integers(4, 21), columns=st.integers(1, 5), n=st.integers(1, 3), path=st.lists(st.floats(0, 1), max_size=4)
)
def test_along_any_path_of_sparsities_no_group_loses_too_much_and_nothing_comes_back(rows, columns, n, path):
    m, rng = 4, np.random.default_rng(rows * columns)
    weight = rng.integers(-3, 4, (rows, columns)).astype(np.float32)  # many ties
    kept = np.ones(weight.shape, bool)
    groups = [slice(start, start + m) for start in range(0, rows, m)]
    least = sum(min(n, rows - group.start) for group in groups) * columns
    for part in sorted(path):
        sparsity = part * (1 - n / m)
        new = select(kp.NByM(n, m), weight, sparsity, kept)
        assert not (new & ~kept).any()
        assert new.sum() == min(max(count_kept(weight.size, sparsity), least), kept.sum())
        for group in groups:
            assert (new[group].sum(axis=0) >= min(n, rows - group.start)).all()
        kept = new


@pytest.mark.parametrize(("n", "m"), [(4, 4), (5, 4), (0, 4), (2.0, 4), (True, 4), ("2", 4), (2, None)])
def test_bad_n_and_m_are_refused(n, m):
    with pytest.raises(ValueError, match=r"Received: [nm]="):
        kp.NByM(n, m)


def test_numbers_of_numpy_make_patterns_and_blocks():
    assert repr(kp.NByM(np.int64(2), np.uint8(4))) == repr(kp.NByM(2, 4))
    assert repr(kp.Block([np.int32(4), np.int8(1)])) == repr(kp.Block((4, 1)))


def small_cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, name="first"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Conv2D(4, 1, name="second"),
            layers.Flatten(),
            layers.Dense(5, name="dense"),
        ]
    )


def test_a_group_that_does_not_fit_is_refused_before_anything_changes():
    model = small_cnn()
    with pytest.raises(ValueError, match=r"'first/kernel'.*targets=\{'first': None\}.*for 1 inputs"):
        kp.prune_weights(model, selection=kp.NByM(2, 4))
    wrapped = kp.wrap_pruning(model)
    wrapped.compile("sgd", "mse")
    before = [np.array(w) for w in wrapped.get_weights()]
    with pytest.raises(ValueError, match="'first/kernel'"):
        wrapped.fit(
            np.zeros((2, 8, 8, 1)), np.zeros((2, 5)), callbacks=[kp.PruningSchedule(selection=kp.NByM(2, 4))], verbose=0
        )
    for old, new in zip(before, wrapped.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_more_than_the_pattern_gives_is_refused():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4)])
    with pytest.raises(ValueError, match=r"prunes 0\.5 at most\. Received: sparsity=0\.6"):
        kp.prune_weights(model, 0.6, selection=kp.NByM(2, 4))
    with pytest.raises(ValueError, match=r"0\.5 at most"):
        kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.9, end_step=10), kp.NByM(2, 4))
    with pytest.raises(ValueError, match=r"0\.5 at most"):
        kp.PruningSchedule(kp.ConstantSparsity(0.5), kp.NByM(2, 4), targets={"dense*": 0.7})


@pytest.mark.core
def test_a_schedule_leads_to_the_pattern_and_files_keep_it(tmp_path, rng):
    model = kp.wrap_pruning(small_cnn(), layers=["depthwise", "second", "dense"])
    model.compile("sgd", "mse")
    x, y = rng.normal(size=(32, 8, 8, 1)).astype("float32"), rng.normal(size=(32, 5)).astype("float32")
    schedule = kp.PolynomialDecay(final_sparsity=0.5, end_step=6)
    history = model.fit(
        x, y, batch_size=8, epochs=2, verbose=0, callbacks=[kp.PruningSchedule(schedule, kp.NByM(2, 4), frequency=2)]
    )
    assert 0.3 < history.history["sparsity"][0] < history.history["sparsity"][-1] <= 0.5
    model.save(tmp_path / "model.keras")
    for masked in find_masked(keras.models.load_model(tmp_path / "model.keras")):
        cube = masked.axes.cube(np.array(masked.weight)) != 0
        for start in range(0, cube.shape[1], 4):
            group = cube[:, start : start + 4]
            assert (group.sum(axis=1) == min(2, group.shape[1])).all(), masked.path


def test_blocks_by_hand():
    weight = [[1, 1, 9], [1, 1, 0], [5, 5, 0], [5, 0, 0], [2, 3, 4]]
    # 2x2 blocks, smaller at the ends: means 1, 4.5 | 3.75, 0 | 2.5, 4
    assert select(kp.Block((2, 2)), weight, 0.5).astype(int).tolist() == [
        [0, 0, 1],
        [0, 0, 1],
        [1, 1, 0],
        [1, 1, 0],
        [0, 0, 1],
    ]
    # maxima 1, 9 | 5, 0 | 3, 4
    assert select(kp.Block((2, 2), pooling="max"), weight, 2 / 3).astype(int).tolist() == [
        [0, 0, 1],
        [0, 0, 1],
        [1, 1, 0],
        [1, 1, 0],
        [0, 0, 0],
    ]


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (2, 3), (50, 50)])
def test_blocks_equal_a_naive_loop(name, shape, pooling, rng):
    axes, size = AXES[name]
    weight = rng.normal(size=size).astype(np.float32)
    matrix = axes.matrix(np.abs(weight))
    blocks = {
        (r, c): float(getattr(matrix[r : r + shape[0], c : c + shape[1]], pooling)())
        for r in range(0, matrix.shape[0], shape[0])
        for c in range(0, matrix.shape[1], shape[1])
    }
    best = sorted(blocks, key=blocks.__getitem__, reverse=True)[: count_kept(len(blocks), 0.6)]
    expected = np.zeros(matrix.shape, bool)
    for r, c in best:
        expected[r : r + shape[0], c : c + shape[1]] = True
    mask = select(kp.Block(shape, pooling), weight, 0.6, axes=axes)
    np.testing.assert_array_equal(axes.matrix(mask), expected)


def test_blocks_that_are_gone_stay_gone():
    weight = [[1, 1, 2, 2], [3, 3, 4, 4]]
    first = select(kp.Block((1, 2)), weight, 0.25)
    assert first.astype(int).tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    louder = [[9, 9, 2, 2], [3, 3, 4, 4]]
    assert select(kp.Block((1, 2)), louder, 0.5, first).astype(int).tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("bad", [4, (4,), (4, 0), (1.0, 2), "14", (True, 1), None])
def test_bad_blocks_are_refused(bad):
    with pytest.raises(ValueError, match="Received: shape="):
        kp.Block(bad)
    with pytest.raises(ValueError, match="'sum'"):
        kp.Block((2, 2), pooling="sum")


def test_presets_are_blocks_of_inputs():
    dense = keras.Sequential([keras.Input((32,)), layers.Dense(8, name="dense")])
    for preset, rows in ((kp.LITERT_1X4, 4), (kp.LITERT_1X16, 16)):
        (kernel,) = [
            w for w in kp.strip_pruning(kp.prune_weights(dense, 0.5, selection=preset)).weights if w.name == "kernel"
        ]
        zeros = (np.array(kernel) == 0).reshape(32 // rows, rows, 8)
        assert (zeros.all(axis=1) == zeros.any(axis=1)).all()
        assert zeros.mean() == 0.5


@pytest.mark.core
def test_axes_of_layers_give_the_layer_back(rng):
    """What `reads` and `inputs` say, against the layer itself: the output from the matrix and what is read."""
    cases = [
        (layers.Dense(5), (4, 6)),
        (layers.EinsumDense("abc,cde->abde", (None, 3, 2)), (4, 6)),
        (layers.EinsumDense("abcd,cde->abe", (None, 5)), (4, 3, 2)),
        (layers.Conv2D(5, 1), (4, 4, 6)),
        (layers.Conv1D(5, 1), (4, 6)),
        (layers.Conv2DTranspose(5, 1), (4, 4, 6)),
    ]
    for layer, shape in cases:
        x = rng.normal(size=(2, *shape)).astype("float32")
        layer.build((None, *shape))
        kernel = np.array(layer.kernel)
        axes = find_axes(layer, "kernel", kernel.ndim)
        assert [axis for axis, _ in axes.reads] == list(axes.inputs)
        read = np.moveaxis(x, [axis for _, axis in axes.reads], range(-len(axes.reads), 0))
        flat = read.reshape(-1, axes.cube(kernel).shape[1])
        made = flat @ axes.cube(kernel)[0]
        np.testing.assert_allclose(
            made.reshape(-1), np.array(keras.ops.convert_to_numpy(layer(x))).reshape(-1), rtol=2e-4, atol=1e-5
        )


def test_restoring_undoes_the_matrix(rng):
    for axes, shape in AXES.values():
        weight = rng.normal(size=shape)
        np.testing.assert_array_equal(axes.restore(axes.matrix(weight), shape), weight)
        np.testing.assert_array_equal(axes.restore(axes.cube(weight), shape), weight)
