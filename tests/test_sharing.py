"""Weights that share values: in models, in training, in files."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zoo import BACKEND, Block, batch, cnn, mlp, nested, predict, regression, subclassed, two_in_two_out, value

import keras_prune as kp
from keras_prune.masks import find_masked, walk_layers
from keras_prune.sharing.kmeans import kmeans

core = pytest.mark.core
numbers = hnp.arrays(
    st.sampled_from(["float32", "float64"]),
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=8),
    elements=st.floats(-100, 100, width=32),
)


def kernels(model):
    return [value(weight.weight.value) for weight in find_masked(model)]


def partition(array):
    """Which entries are equal, as the place of the first of them."""
    _, first, inverse = np.unique(array, return_index=True, return_inverse=True)
    return first[inverse.ravel()]


def assert_shared(model, before, clusters=16):
    """Entries share values exactly as they did `before`, and what was zero is zero."""
    for now, old in zip(kernels(model), before, strict=True):
        assert np.unique(now[now != 0]).size <= clusters
        assert (now[old == 0] == 0).all()
        for place in np.unique(partition(old)):  # clusters may meet but never part
            assert np.unique(now.ravel()[partition(old) == place]).size == 1


class Watch(keras.callbacks.Callback):
    """Asserts, whenever Keras calls it, that values are shared as at first."""

    def __init__(self, model, clusters=16):
        super().__init__()
        self.before, self.clusters, self.seen = [k.copy() for k in kernels(model)], clusters, 0

    def check(self, *args, **kwargs):
        assert_shared(self.model, self.before, self.clusters)
        self.seen += 1

    # Not at the end of training: moving averages are in the weights there, and `fit` shares them afterwards.
    on_train_batch_end = on_epoch_end = on_test_begin = check


def fit(model, *callbacks, optimizer="adam", epochs=2, **arguments):
    x, y = regression(model)
    model.compile(optimizer, "mse", **arguments)
    model.fit(x, y, epochs=epochs, batch_size=8, verbose=0, validation_split=0.25, callbacks=list(callbacks))


def moved(model, before):
    return all(not np.array_equal(now, old) for now, old in zip(kernels(model), before, strict=True))


@core
@pytest.mark.parametrize("build", [mlp, cnn, nested])
@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_values_stay_shared_after_every_step(build, sparsity):
    model = build()
    shared = kp.cluster_weights(kp.prune_once(model, sparsity) if sparsity else model, 6)
    watch = Watch(shared, 6)
    fit(shared, watch)
    assert watch.seen >= 14
    assert moved(shared, watch.before)
    assert_shared(shared, watch.before, 6)
    if sparsity:
        assert kp.summary(shared).prunable_sparsity == pytest.approx(sparsity, abs=0.05)


SETTINGS = {
    "sgd with momentum": {"optimizer": lambda: keras.optimizers.SGD(0.05, momentum=0.9)},
    "moving averages": {"optimizer": lambda: keras.optimizers.Adam(0.01, use_ema=True)},
    "averages written while training": {
        "optimizer": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3)
    },
    "weight decay": {"optimizer": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1)},
    "accumulated gradients": {"optimizer": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)},
    "compiled": {"jit_compile": True},
    "not compiled": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "several steps at once": {"steps_per_execution": 3},
}


@core
@pytest.mark.parametrize("name", SETTINGS)
def test_values_stay_shared_in_any_training(name):
    arguments = dict(SETTINGS[name])
    if BACKEND == "torch" and name in ("compiled", "several steps at once"):
        pytest.skip("not on torch: Keras has no steps_per_execution there, and compiling takes minutes")
    if "optimizer" in arguments:
        arguments["optimizer"] = arguments["optimizer"]()
    shared = kp.cluster_weights(kp.prune_once(mlp(), 0.5), 5)
    watch = Watch(shared, 5)
    fit(shared, watch, **arguments)
    assert watch.seen >= 6
    assert moved(shared, watch.before)
    assert_shared(shared, watch.before, 5)


@core
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16", "bfloat16", "float64"])
def test_other_precisions(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = mlp()
    finally:
        keras.config.set_dtype_policy("float32")
    shared = kp.cluster_weights(model, 4)
    before = [kernel.astype("float32") for kernel in kernels(shared)]
    x, y = regression(model)
    shared.compile(keras.optimizers.SGD(0.1), "mse")
    shared.fit(x, y, verbose=0)
    for now, old in zip(kernels(shared), before, strict=True):
        now = now.astype("float32")
        assert np.isfinite(now).all()
        assert np.unique(now[old != 0]).size <= 4  # in half precision, random numbers may be exactly zero
        assert not np.array_equal(now, old)


@core
def test_a_shared_value_moves_by_the_mean_of_its_members_gradients():
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, use_bias=False, name="dense")])
    shared = kp.cluster_weights(dense, 3)
    (old,) = (kernel.copy() for kernel in kernels(shared))
    x, y = regression(shared, size=16)
    gradient = 2 * x.T @ (x @ old - y) / y.size
    shared.compile(keras.optimizers.SGD(0.5), "mse")
    shared.fit(x, y, batch_size=16, verbose=0)
    expected = old.copy()
    for centre in np.unique(old):
        expected[old == centre] -= 0.5 * gradient[old == centre].mean()
    np.testing.assert_allclose(kernels(shared)[0], expected, rtol=1e-4, atol=1e-6)


@core
def test_clusters_are_those_of_kmeans_and_the_model_passed_stays_as_it_was():
    model = cnn()
    before = [w.copy() for w in model.get_weights()]
    shared = kp.cluster_weights(model, 7)
    for weight, layer in zip(find_masked(shared), (model.layers[0], model.layers[-1]), strict=True):
        kernel = value(layer.kernel.value)
        book = kmeans(kernel, 7)
        np.testing.assert_array_equal(value(weight.weight.value), book.values[book.assignment])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not find_masked(model)


def test_zeros_are_preserved_or_clustered():
    model = mlp(units=(8,))
    kernel = value(model.layers[0].kernel.value).copy()
    kernel[:6] = 0
    model.layers[0].kernel.assign(kernel)
    kept = kp.cluster_weights(model, 2)
    fit(kept)
    assert (kernels(kept)[0][:6] == 0).all()
    assert np.unique(kernels(kept)[0]).size == 3
    free = kp.cluster_weights(model, 3, preserve_zeros=False)
    fit(free)
    assert (kernels(free)[0][:6] != 0).all()
    masked = kp.cluster_weights(kp.prune_once(model, 0.75), 3, preserve_zeros=False)
    (first, *_) = find_masked(masked)
    assert (value(first.weight.value)[~first.kept()] == 0).all()


def test_an_array_of_zeros_alone_stays_one():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="zeros")])
    shared = kp.cluster_weights(model, 4)
    fit(shared)
    assert not kernels(shared)[0].any()
    np.testing.assert_array_equal(kernels(kp.wrap_pruning(shared))[0], 0)


@settings(max_examples=20, deadline=None)
@given(hnp.arrays("float32", (5, 6), elements=st.floats(-2, 2, width=16)), st.integers(2, 8))
def test_zeros_are_preserved_whatever_the_weights(kernel, clusters):
    dense = keras.layers.Dense(6)
    dense.build((None, 5))
    dense.kernel.assign(kernel)
    (weight,) = find_masked(kp.cluster_weights(dense, clusters))
    found = value(weight.weight.value)
    np.testing.assert_array_equal(weight.kept(), kernel != 0)
    assert (found[kernel == 0] == 0).all()
    assert np.unique(found[kernel != 0]).size <= clusters
    weight.apply()
    np.testing.assert_array_equal(value(weight.weight.value), found)  # equal members stay what they are, to the bit


@core
def test_means_of_many_equal_values_do_not_drift():
    dense = keras.layers.Dense(1000, name="dense")
    dense.build((None, 300))
    (weight,) = find_masked(kp.cluster_weights(dense, 2))
    before = value(weight.weight.value).copy()
    for _ in range(5):
        weight.apply()
    np.testing.assert_array_equal(value(weight.weight.value), before)


def test_which_layers_and_how_many_clusters():
    model = mlp()
    shared = kp.cluster_weights(model, {"hidden0": 3, "hidden*": 5, "output": None})
    assert [layer.name for layer in kp.summary(shared).masked] == ["hidden0", "hidden1"]
    assert [np.unique(kernel).size for kernel in kernels(shared)] == [3, 5]
    some = kp.cluster_weights(kp.wrap_pruning(model), 4, layers="hid*1")
    distinct = {each.layer: each.shared is not None for each in find_masked(some)}
    assert distinct == {"hidden0": False, "hidden1": True, "output": False}
    fewer = kp.cluster_weights(some, 2, layers=["hidden1", "output"])
    assert [np.unique(kernel).size for kernel in kernels(fewer)][1:] == [2, 2]
    assert [each.distinct for layer in kp.summary(fewer).layers for each in layer.weights] == [None, 2, 2]


def test_the_summary_says_how_many_values_and_bits():
    shared = kp.cluster_weights(kp.prune_once(mlp(), 0.5), 16)
    report = kp.summary(shared)
    weights = [weight for layer in report.layers for weight in layer.weights]
    assert [(weight.distinct, weight.bits) for weight in weights] == [(17, 5), (17, 5), (17, 5)]
    assert "17 values, 5 bits" in str(report)
    assert report.parameters == mlp().count_params()
    assert kp.summary(kp.cluster_weights(subclassed(), 4)).parameters == subclassed().count_params()
    assert [w.bits for w in kp.summary(kp.cluster_weights(mlp(), 16)).layers[0].weights] == [4]


BAD = {
    "one cluster": ({"clusters": 1}, ValueError, "at least 2. Received: clusters=1"),
    "a fraction": ({"clusters": 2.5}, ValueError, "clusters=2.5"),
    "a boolean": ({"clusters": True}, ValueError, "clusters=True"),
    "a word": ({"clusters": "16"}, ValueError, "clusters='16'"),
    "a bad number for a pattern": ({"clusters": {"hidden*": 1}}, ValueError, r"clusters\['hidden\*'\]=1"),
    "a key that is no pattern": ({"clusters": {3: 4}}, TypeError, "patterns. Received: 3"),
    "a near miss": ({"clusters": {"hiden0": 4}}, ValueError, "Did you mean 'hidden0'"),
    "a layer that is not there": ({"layers": "conv"}, ValueError, "`layers` names a layer"),
    "a start that is not there": ({"start": "random"}, ValueError, "'linear', 'density'.*Received: start='random'"),
    "nothing left": ({"layers": keras.layers.Conv2D}, ValueError, "Nothing is left"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_before_anything_changes(name):
    arguments, error, message = BAD[name]
    model = subclassed() if name in ("one cluster", "nothing left", "a layer that is not there") else mlp()
    with pytest.raises(error, match=message):
        kp.cluster_weights(model, **arguments)
    assert not find_masked(model)
    assert not isinstance(model, kp.PrunedModel)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad):
    model = subclassed()
    layers = [layer for _, layer in walk_layers(model) if hasattr(layer, "kernel")]
    kernel = value(layers[-1].kernel.value).copy()
    kernel.flat[3] = bad
    layers[-1].kernel.assign(kernel)
    with pytest.raises(ValueError, match=r"NaN or infinite values in '.*kernel'"):
        kp.cluster_weights(model, 4)
    assert not find_masked(model)


def test_models_that_are_none_or_not_built_are_refused():
    with pytest.raises(TypeError, match="Received: model='m'"):
        kp.cluster_weights("m")
    for unbuilt in (keras.Sequential([keras.layers.Dense(3)], name="new"), keras.layers.Dense(3, name="new")):
        with pytest.raises(ValueError, match="Received: 'new', not built"):
            kp.cluster_weights(unbuilt)


@core
@pytest.mark.parametrize("build", [mlp, cnn, nested, two_in_two_out])
def test_stripping_leaves_plain_layers_with_the_same_values(build):
    shared = kp.cluster_weights(kp.prune_once(build(), 0.5), 5)
    weight = find_masked(shared)[0]
    drift = np.random.default_rng(0).normal(size=weight.weight.shape).astype("float32")
    weight.weight.assign(value(weight.weight.value) + drift * 1e-3)  # assigned by hand, not shared any more
    plain = kp.strip_pruning(shared)
    kp.apply_masks(shared)
    assert not find_masked(plain)
    assert not isinstance(plain, kp.PrunedModel)
    assert not any(hasattr(layer, "weight_clusters") for _, layer in walk_layers(plain))
    paths = dict(walk_layers(plain))
    for each in find_masked(shared):
        kernel = value(paths[each.layer].kernel.value)
        np.testing.assert_array_equal(kernel, value(each.weight.value))
        assert np.unique(kernel).size <= 6
    x = batch(plain)
    for old, new in zip(predict(shared, x), predict(plain, x), strict=True):
        np.testing.assert_array_equal(old, new)


@core
def test_subclassed_models_are_clustered_in_place(tmp_path):
    model = subclassed()
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 6)).astype("float32"), rng.normal(size=(32, 3)).astype("float32")
    kp.wrap_pruning(model).fit(x, y, verbose=0)  # compiled without clusters
    assert kp.cluster_weights(model, 4) is model
    before = [kernel.copy() for kernel in kernels(model)]
    model.fit(x, y, batch_size=8, verbose=0)
    assert moved(model, before)
    assert_shared(model, before, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.fit(x, y, batch_size=8, verbose=0)
    assert_shared(loaded, before, 4)
    plain = kp.strip_pruning(model)
    assert plain is model
    assert len(plain.variables) == len(subclassed().variables)


@core
@pytest.mark.parametrize("build", [mlp, nested])
def test_training_goes_on_from_files(build, tmp_path):
    shared = kp.cluster_weights(kp.prune_once(build(), 0.5), 4)
    fit(shared)
    before = [kernel.copy() for kernel in kernels(shared)]
    shared.save(tmp_path / "model.keras")
    shared.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    other = kp.cluster_weights(kp.wrap_pruning(build()), 4)
    other.load_weights(tmp_path / "model.weights.h5")
    for again in (loaded, other):
        for old, new in zip(before, kernels(again), strict=True):
            np.testing.assert_array_equal(old, new)
        fit(again, Watch(again, 4), epochs=1)
        assert moved(again, before)
        assert_shared(again, before, 4)


@core
def test_a_clustered_model_can_be_pruned_further():
    shared = kp.cluster_weights(mlp(), 6)
    before = [kernel.copy() for kernel in kernels(shared)]
    schedule = kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.7, end_step=10), frequency=3)
    fit(shared, schedule)
    assert kp.summary(shared).prunable_sparsity == pytest.approx(0.7, abs=0.02)
    for weight, old in zip(find_masked(shared), before, strict=True):
        now, kept = value(weight.weight.value), weight.kept()
        for centre in np.unique(old):
            assert np.unique(now[(old == centre) & kept]).size <= 1
        members = value(weight.shared.members.value)
        assignment = value(weight.shared.assignment.value)
        np.testing.assert_array_equal(members, np.bincount(assignment[kept], minlength=6))
    once = kp.prune_once(shared, 0.9)
    assert all(weight.shared is not None for weight in find_masked(once))


@core
def test_layers_made_of_layers():
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(Block()(inputs)))
    shared = kp.cluster_weights(model, 3)
    assert len(kernels(shared)) > 4
    before = [kernel.copy() for kernel in kernels(shared)]
    fit(shared)
    assert_shared(shared, before, 3)


@core
def test_frozen_layers_are_clustered_and_stay_so():
    model = mlp()
    model.layers[0].trainable = False
    shared = kp.cluster_weights(model, 4)
    before = [kernel.copy() for kernel in kernels(shared)]
    fit(shared)
    np.testing.assert_array_equal(kernels(shared)[0], before[0])
    assert np.unique(before[0]).size == 4
    assert_shared(shared, before, 4)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="other backends: test_export_elsewhere.py")
def test_a_tflite_file_has_no_more_values(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    import tflite_export

    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(30), keras.layers.Dense(10)])
    shared = kp.cluster_weights(kp.prune_once(model, 0.5), 8)
    fit(shared)
    # With zeros left out LiteRT would show the stored values as if they were the whole kernel.
    tflite_export.export(shared, tmp_path / "model.tflite", sparse=False)
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    found = {
        tuple(detail["shape"]): np.unique(interpreter.get_tensor(detail["index"]))
        for detail in interpreter.get_tensor_details()
        if tuple(detail["shape"]) in {(30, 20), (10, 30)}
    }
    for kernel in kernels(shared):
        np.testing.assert_array_equal(found[kernel.T.shape], np.unique(kernel))
        assert np.unique(kernel).size <= 9


@core
def test_loops_of_ones_own_share_values_too(rng):
    shared = kp.cluster_weights(kp.prune_once(nested(), 0.5), 4)
    before = [kernel.copy() for kernel in kernels(shared)]
    for variable in shared.trainable_variables:
        variable.assign(value(variable.value) + rng.normal(size=variable.shape).astype("float32"))
    state = [[variable.value for variable in shared.trainable_variables]]
    state.append([variable.value for variable in shared.non_trainable_variables])
    if BACKEND == "torch":
        state = [[tensor.detach() for tensor in values] for values in state]
    pure = [value(tensor).copy() for tensor in kp.stateless_apply_masks(shared, *state)]
    kp.apply_masks(shared)
    assert moved(shared, before)
    assert_shared(shared, before, 4)
    for variable, result in zip(shared.trainable_variables, pure, strict=True):
        np.testing.assert_array_equal(value(variable.value), result)


def test_what_regrows_joins_the_cluster_nearest_to_zero():
    shared = kp.cluster_weights(kp.prune_once(mlp(units=(8,)), 0.5), 4)
    weight = find_masked(shared)[0]
    old, kept = value(weight.weight.value).copy(), weight.kept().copy()
    values = np.unique(old[old != 0])
    nearest = values[np.argmin(np.abs(values))]
    weight.set_mask(np.ones_like(kept))
    weight.apply()
    now = value(weight.weight.value)
    share = (old == nearest).sum() / ((old == nearest) | ~kept).sum()  # what regrows was zero
    np.testing.assert_allclose(now[~kept], nearest * share, rtol=1e-5)
    np.testing.assert_array_equal(now[kept & (old != nearest)], old[kept & (old != nearest)])
