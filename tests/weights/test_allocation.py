"""How a sparsity is shared among layers, and how masks move while it stays: ERK, global caps, RigL, SET."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from support.zoo import Subclassed, cnn, mlp, regression

import keras_prune as kp
from keras_prune.importance import magnitude
from keras_prune.masking.masked_weights import find_masked, masked_sparsity
from keras_prune.measurement.weight_statistics import ModelStatistics, SingleWeights
from keras_prune.selection import Candidate
from keras_prune.selection.top_k import count_kept
from keras_prune.weights.allocation import erk


def masks(model):
    return {masked.path: masked.kept() for masked in find_masked(model)}


def fit(model, *callbacks, epochs=1, size=64, **arguments):
    x, y = regression(model, size)
    return model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments)


def test_erk_by_hand():
    # 4x4 and 16x16: raw densities 8/16 and 32/256, so 4 to 1. 20% of 272 weights: 54.4 = e * (8 + 32).
    assert erk([(4, 4), (16, 16)], 0.8) == pytest.approx([1 - 1.36 * 0.5, 1 - 1.36 * 0.125])
    # The window counts in the sum and in the product.
    assert erk([(4, 4, 3, 3)], 0.5) == pytest.approx([0.5])
    assert erk([(8, 8), (8, 8)], 0.3) == pytest.approx([0.3, 0.3])


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5)), min_size=1, max_size=6),
    st.floats(0, 0.999),
)
def test_erk_prunes_the_asked_fraction_and_dense_layers_are_those_of_the_highest_raw_density(sizes, sparsity):
    found = np.array(erk(sizes, sparsity))
    counts = np.prod(sizes, axis=1)
    assert (found >= -1e-9).all()
    assert (found < 1).all()
    assert (found * counts).sum() == pytest.approx(sparsity * counts.sum(), abs=1e-6 * counts.sum())
    raw = np.sum(sizes, axis=1) / counts
    scaled = (1 - found)[found > 1e-9] / raw[found > 1e-9]
    assert np.ptp(scaled) < 1e-6 if scaled.size else True


@pytest.mark.core
def test_targets_in_a_word():
    model = cnn()
    for word, layer in (("uniform", 0.8), ("erk", None)):
        pruned = kp.prune_weights(model, 0.8, targets=word)
        assert masked_sparsity(find_masked(pruned)) == pytest.approx(0.8, abs=0.01)
        sparsities = {m.layer: 1 - m.kept().mean() for m in find_masked(pruned)}
        if layer:
            assert list(sparsities.values()) == pytest.approx([layer] * 2, abs=0.01)
        if word == "erk":
            shapes = [(2, 4, 3, 3), (144, 6)]
            assert list(sparsities.values()) == pytest.approx(erk(shapes, 0.8), abs=0.01)


@pytest.mark.core
@pytest.mark.parametrize("selection", [kp.Percentile("global"), kp.Percentile(scope="global")])
def test_a_global_selection_ranks_the_weights_of_all_layers(selection):
    model = cnn()
    magnitudes = [np.abs(np.array(masked.weight)) for masked in find_masked(kp.wrap_pruning(model))]
    pruned = kp.prune_weights(model, 0.8, selection=selection)
    assert masked_sparsity(find_masked(pruned)) == pytest.approx(0.8, abs=0.01)
    kept = [masked.kept() for masked in find_masked(pruned)]
    lowest = min(each[mask].min() for each, mask in zip(magnitudes, kept, strict=True))
    assert all(each[~mask].max(initial=0) <= lowest for each, mask in zip(magnitudes, kept, strict=True))


def test_targets_of_any_kind_of_number():
    pruned = kp.prune_weights(mlp(), 0.5, targets={"hidden0": 0, "hidden1": np.float32(0.25)})
    kept = {masked.layer: float(masked.kept().mean()) for masked in find_masked(pruned)}
    assert kept == {"hidden0": 1.0, "hidden1": 0.75, "output": 0.5}
    model = kp.wrap_pruning(mlp())
    model.compile("sgd", "mse")
    fit(model, kp.PruningSchedule(kp.ConstantSparsity(0.5), targets={"hidden0": 0, "hidden1": np.float32(0.25)}))
    assert {masked.layer: float(masked.kept().mean()) for masked in find_masked(model)} == kept


def test_erk_of_some_layers_and_along_a_schedule():
    model = kp.wrap_pruning(mlp())
    model.compile("sgd", "mse")
    schedule = kp.PolynomialDecay(final_sparsity=0.9, end_step=8)
    fit(model, kp.PruningSchedule(schedule, targets={"output": None, "*": "erk"}, frequency=2))
    shares = dict(zip(["hidden0", "hidden1"], erk([(12, 16), (16, 8)], 0.9), strict=True))
    for masked in find_masked(model):
        expected = count_kept(masked.size, shares[masked.layer]) if masked.layer in shares else masked.size
        assert masked.kept().sum() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": "even"}, r"must be \"uniform\" or \"erk\", or map.*sparsity\. Received: targets='even'"),
        ({"targets": "global"}, r"pass `selection=Percentile\(\"global\"\)`. Received: targets='global'"),
        ({"targets": "erk", "selection": kp.Percentile("global")}, "either a sparsity by their shape"),
        ({"targets": {"*": 1.0}}, r"targets\['\*'\]"),
        ({"targets": {"*": "all"}}, r"targets\['\*'\]"),
        ({"targets": 0.5}, "must map layer name patterns"),
        ({"selection": kp.Percentile("global", max_layer_sparsity=0.4)}, "0.4 at most"),
    ],
)
def test_bad_targets_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        kp.prune_weights(mlp(), 0.5, **arguments)


@pytest.mark.parametrize("cap", [0, 1.1, True, None, float("nan")])
def test_bad_caps_are_refused(cap):
    with pytest.raises(ValueError, match="max_layer_sparsity"):
        kp.Percentile("global", max_layer_sparsity=cap)
    with pytest.raises(ValueError, match="scope"):
        kp.Percentile(max_layer_sparsity=0.5)
    with pytest.raises(ValueError, match="'std'"):
        kp.Percentile("global", normalize="std")


def select(selection, weights, sparsity):
    fetches = [lambda w=w: Candidate(w, magnitude, np.ones(w.shape, bool)) for w in weights]
    return list(selection.select(fetches, sparsity, 0))


@settings(max_examples=60)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.floats(0.3, 1), st.floats(0, 0.99))
def test_a_cap_holds_in_every_layer_and_the_others_share_the_rest(sizes, cap, part):
    rng = np.random.default_rng(sum(sizes))
    weights = [rng.normal(size=size).astype(np.float32) * 10**index for index, size in enumerate(sizes)]
    sparsity = cap * part
    found = select(kp.Percentile("global", max_layer_sparsity=cap), weights, sparsity)
    least = [size - int(cap * size + 1e-9) for size in sizes]
    kept = [int(mask.sum()) for mask in found]
    assert all(count >= minimum for count, minimum in zip(kept, least, strict=True))
    assert sum(kept) == max(count_kept(sum(sizes), sparsity), sum(least))
    # Among layers above their least, the highest are kept.
    free = [i for i in range(len(sizes)) if kept[i] > least[i]]
    pruned = [np.abs(weights[i][~found[i]]).max() for i in free if not found[i].all()]
    stays = [np.abs(weights[i][found[i]]).min() for i in free]
    assert not pruned or max(pruned) <= min(stays)


def test_normalised_scores_rank_layers_by_their_shape_not_their_scale(rng):
    weight = rng.normal(size=100).astype(np.float32)
    plain = select(kp.Percentile("global"), [weight, 10 * weight], 0.5)
    assert plain[1].sum() > 85
    for kind in ("mean", "max"):
        first, second = select(kp.Percentile("global", normalize=kind), [weight, 10 * weight], 0.5)
        assert abs(int(first.sum()) - int(second.sum())) <= 1
        assert first.sum() + second.sum() == 100


class Watch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.masks = []

    def on_train_batch_end(self, batch, logs=None):
        self.masks.append(masks(self.model))


@pytest.mark.core
@pytest.mark.parametrize("kind", [kp.RigL, kp.SET])
def test_regrowth_keeps_the_number_moves_masks_and_comes_to_rest(kind):
    model = kp.wrap_pruning(mlp())
    model.compile("adam", "mse")
    watch = Watch()
    pruning = kp.PruningSchedule(
        kp.ConstantSparsity(0.5), importance="random", targets="erk", regrowth=kind(end_step=12), frequency=2
    )
    fit(model, pruning, watch, epochs=2)
    first, last = watch.masks[1], watch.masks[-1]
    for path in first:
        assert all(each[path].sum() == first[path].sum() for each in watch.masks)
    assert any((first[path] != last[path]).any() for path in first)
    for step in range(11, 15):
        assert all((watch.masks[step][path] == last[path]).all() for path in last)
    for masked in find_masked(model):
        assert (ops.convert_to_numpy(masked.weight.value)[~masked.kept()] == 0).all()


def test_rigl_drops_the_smallest_and_grows_the_steepest():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12,)), layers.Dense(10, name="dense")])
    x, y = regression(model, 64)
    pruned = kp.prune_weights(model, 0.5)
    statistics = ModelStatistics(pruned, (x, y), "mse")
    (masked,) = find_masked(pruned)
    unit, kept = SingleWeights(masked), masked.kept()
    rule = kp.RigL(end_step=100, fraction=0.4)
    assert rule.fraction_at(0) == pytest.approx(0.4)
    assert rule.fraction_at(50) == pytest.approx(0.2)
    assert rule.fraction_at(100) == 0
    new = rule.renew(unit, kept, 0, statistics)
    # By hand: the gradient of the mean squared error, as the mean over two batches of 32.
    error = x @ unit.values + np.array(ops.convert_to_numpy(pruned.layers[0].layer.bias)) - y
    steep = np.abs(2 * x.T @ error / y.size)
    count = int(0.4 * kept.sum())
    size = np.where(kept, np.abs(unit.values), np.inf).reshape(-1)
    dropped = np.argsort(size)[:count]
    stay = kept.reshape(-1).copy()
    stay[dropped] = False
    grown = np.argsort(np.where(stay, np.inf, -steep.reshape(-1)))[:count]
    expected = stay.copy()
    expected[grown] = True
    np.testing.assert_array_equal(new.reshape(-1), expected)


@pytest.mark.parametrize("selection", [kp.NByM(2, 4), kp.Block((4, 1)), kp.Threshold(0.1)])
def test_what_regrowth_would_break_is_refused(selection):
    schedule = None if isinstance(selection, kp.Threshold) else kp.ConstantSparsity(0.5)
    with pytest.raises(ValueError, match=r"`regrowth` needs `Percentile`\. Received: selection="):
        kp.PruningSchedule(schedule, selection, regrowth=kp.SET(end_step=5))


@pytest.mark.parametrize("bad", [0, 1, -0.1, True, float("nan"), "0.3"])
def test_bad_regrowth_is_refused(bad):
    with pytest.raises(ValueError, match="Received: fraction="):
        kp.RigL(end_step=10, fraction=bad)
    with pytest.raises(ValueError, match="end_step"):
        kp.SET(end_step=0)
    with pytest.raises(TypeError, match="RigL"):
        kp.PruningSchedule(kp.ConstantSparsity(0.5), regrowth="rigl")


# Importance that is measured while `fit` runs.


@pytest.mark.core
@pytest.mark.parametrize("name", ["taylor", "wanda"])
@pytest.mark.parametrize("form", ["arrays", "dataset", "given"])
def test_criteria_are_measured_on_what_fit_trains_on(name, form, rng):
    model = kp.wrap_pruning(mlp())
    model.compile("sgd", "mse")
    x, y = regression(model, 64)
    arguments = {"data": (x, y)} if form == "given" else {}

    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return x[16 * index : 16 * index + 16], y[16 * index : 16 * index + 16]

    schedule = kp.PolynomialDecay(final_sparsity=0.75, end_step=4)  # several updates
    pruning = kp.PruningSchedule(schedule, importance=name, frequency=1, **arguments)
    if form == "dataset":
        model.fit(Data(), verbose=0, callbacks=[pruning])
    else:
        model.fit(x, y, batch_size=16, verbose=0, callbacks=[pruning])
    for masked in find_masked(model):
        assert masked.kept().sum() == count_kept(masked.size, 0.75)
    plain = kp.prune_weights(mlp(), 0.75)
    assert any((a != b).any() for a, b in zip(masks(model).values(), masks(plain).values(), strict=True))


def test_a_generator_and_a_loop_without_data_are_refused_before_anything_changes():
    model = kp.wrap_pruning(mlp())
    model.compile("sgd", "mse")
    x, y = regression(model, 16)
    pruning = kp.PruningSchedule(kp.ConstantSparsity(0.5), importance="taylor")
    with pytest.raises(ValueError, match="generator can be read only once"):
        model.fit((pair for pair in [(x, y)]), steps_per_epoch=1, verbose=0, callbacks=[pruning])
    pruning.set_model(model)
    with pytest.raises(ValueError, match=r"Outside of `fit`.*pass `data`"):
        pruning.after_step(0)
    assert masked_sparsity(find_masked(model)) == 0


@pytest.mark.core
@pytest.mark.parametrize("build", [mlp, Subclassed])
def test_movement_adds_up_weights_times_gradients(build, tmp_path):
    keras.utils.set_random_seed(0)
    model = build()
    if build is Subclassed:
        model(np.zeros((1, 6), "float32"))
    wrapped = kp.wrap_pruning(model, movement=True)
    wrapped.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 6 if build is Subclassed else 12)).astype("float32")
    y = rng.normal(size=(32, 3 if build is Subclassed else 4)).astype("float32")
    expected = {masked.path: np.zeros(masked.weight.shape) for masked in find_masked(wrapped)}
    for _ in range(3):
        before = {m.path: np.array(ops.convert_to_numpy(m.weight.value)) for m in find_masked(wrapped)}
        wrapped.train_on_batch(x, y)
        for masked in find_masked(wrapped):  # the gradient, from the step that plain gradient descent makes
            moved = ops.convert_to_numpy(masked.weight.value) - before[masked.path]
            expected[masked.path] += before[masked.path] * moved / 0.1
    for masked in find_masked(wrapped):
        np.testing.assert_allclose(
            ops.convert_to_numpy(masked.movement.value), expected[masked.path], rtol=1e-3, atol=1e-5
        )
    wrapped.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for old, new in zip(find_masked(wrapped), find_masked(loaded), strict=True):
        np.testing.assert_array_equal(*(ops.convert_to_numpy(each.movement.value) for each in (old, new)))
    pruned = kp.prune_weights(loaded, 0.5, importance="movement")
    for masked in find_masked(pruned):
        kept, moved = masked.kept(), expected[masked.path]
        assert kept.sum() == count_kept(kept.size, 0.5)
        assert moved[kept].min() >= moved[~kept].max() - 1e-4


@pytest.mark.core
@pytest.mark.parametrize("callback", [False, True])
def test_movement_prunes_while_a_model_trains(callback):
    model = kp.wrap_pruning(mlp(), movement=True)
    model.compile("sgd", "mse")
    x, y = regression(model, 32)
    moved = {}

    class Note(keras.callbacks.Callback):  # listed first: it sees what the last update sees
        def on_train_batch_end(self, batch, logs=None):
            moved.update({m.path: np.array(ops.convert_to_numpy(m.movement.value)) for m in find_masked(self.model)})

    if callback:
        schedule = kp.ConstantSparsity(0.5, begin_step=4)
        pruning = kp.PruningSchedule(schedule, importance="movement")
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[Note(), pruning])
    else:
        for each in kp.IterativeMagnitude(model, 0.5, rounds=1, importance="movement"):
            each.fit(x, y, batch_size=8, verbose=0, callbacks=[] if moved else [Note()])
    for masked in find_masked(model):
        kept, scores = masked.kept(), moved[masked.path]
        assert kept.sum() == count_kept(kept.size, 0.5)
        assert scores[kept].min() >= scores[~kept].max()


@pytest.mark.core
@pytest.mark.parametrize("scaled", ["dynamic", "factor", "mixed_float16"])
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_movement_of_a_scaled_loss_is_that_of_the_loss(scaled):
    found = []
    for optimizer in (keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)):
        keras.utils.set_random_seed(0)
        dtype = "mixed_float16" if found and scaled == "mixed_float16" else "float32"
        model = keras.Sequential([keras.Input((6,)), layers.Dense(4, dtype=dtype)])
        model = kp.wrap_pruning(model, movement=True)
        if found and scaled == "dynamic":  # the scale doubles on the way
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0, dynamic_growth_steps=2)
        elif found and scaled == "factor":
            optimizer.loss_scale_factor = 16.0
        model.compile(optimizer, "mse")
        x, y = regression(model, 32)
        model.fit(x, y, batch_size=8, shuffle=False, epochs=2, verbose=0)
        (masked,) = find_masked(model)
        if found and scaled == "dynamic":
            assert float(ops.convert_to_numpy(optimizer.dynamic_scale.value)) > 8
            before = np.array(ops.convert_to_numpy(masked.movement.value))
            model.fit(np.full_like(x, 1e30), y, batch_size=32, verbose=0)  # the loss overflows: the step is skipped
            np.testing.assert_array_equal(ops.convert_to_numpy(masked.movement.value), before)
        found.append(np.array(ops.convert_to_numpy(masked.movement.value)))
    tolerance = 2e-2 if scaled == "mixed_float16" else 1e-4
    assert np.abs(found[0]).max() > 0.1
    np.testing.assert_allclose(found[1], found[0], rtol=tolerance, atol=tolerance / 10)


def test_movement_that_nobody_adds_up_is_named():
    with pytest.raises(ValueError, match="movement=True"):
        kp.prune_weights(mlp(), 0.5, importance="movement")
