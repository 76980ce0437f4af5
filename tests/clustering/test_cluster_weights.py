"""What `cluster_weights` makes of a model, what it refuses, and what is left of it in files."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.sharing_runs import assert_shared, fit, kernels
from support.zoo import BACKEND, Block, batch, cnn, mlp, nested, predict, subclassed, two_in_two_out, value

import keras_prune as kp
from keras_prune.clustering.kmeans import kmeans
from keras_prune.masking.masked_weights import find_masked, walk_layers

core = pytest.mark.core
numbers = hnp.arrays(
    st.sampled_from(["float32", "float64"]),
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=8),
    elements=st.floats(-100, 100, width=32),
)


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
    masked = kp.cluster_weights(kp.prune_weights(model, 0.75), 3, preserve_zeros=False)
    (first, *_) = find_masked(masked)
    assert (value(first.weight.value)[~first.kept()] == 0).all()


@pytest.mark.filterwarnings("ignore:No weight shares")
def test_an_array_of_zeros_alone_stays_one():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="zeros")])
    shared = kp.cluster_weights(model, 4)
    fit(shared)
    assert not kernels(shared)[0].any()
    np.testing.assert_array_equal(kernels(kp.wrap_pruning(shared))[0], 0)


@settings(max_examples=20)
@given(hnp.arrays("float32", (5, 6), elements=st.floats(-2, 2, width=16)), st.integers(2, 8))
@pytest.mark.filterwarnings("ignore:No weight shares")
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
    shared = kp.cluster_weights(kp.prune_weights(mlp(), 0.5), 16)
    report = kp.summary(shared)
    weights = [weight for layer in report.layers for weight in layer.weights]
    assert [(weight.distinct, weight.bits) for weight in weights] == [(17, 5), (17, 5), (17, 5)]
    assert "17 values, 5 bits" in str(report)
    assert report.parameters == mlp().count_params()
    assert kp.summary(kp.cluster_weights(subclassed(), 4)).parameters == subclassed().count_params()
    assert [w.bits for w in kp.summary(kp.cluster_weights(mlp(), 16)).layers[0].weights] == [4]


BAD = {
    "one cluster": ({"clusters": 1}, ValueError, "from 2 to 2147483647. Received: clusters=1"),
    "a fraction": ({"clusters": 2.5}, ValueError, "clusters=2.5"),
    "a boolean": ({"clusters": True}, ValueError, "clusters=True"),
    "a word": ({"clusters": "16"}, ValueError, "clusters='16'"),
    "a bad number for a pattern": ({"clusters": {"hidden*": 1}}, ValueError, r"clusters\['hidden\*'\]=1"),
    "a key that is no pattern": ({"clusters": {3: 4}}, TypeError, "patterns. Received: 3"),
    "a near miss": ({"clusters": {"hiden0": 4}}, ValueError, "Did you mean 'hidden0'"),
    "a layer that is not there": ({"layers": "conv"}, ValueError, "`layers` names a layer"),
    "a start that is not there": ({"start": "random"}, ValueError, "'linear', 'density'.*Received: start='random'"),
    "nothing left": ({"layers": keras.layers.Conv2D}, ValueError, "Nothing can be clustered"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_before_anything_changes(name):
    arguments, error, message = BAD[name]
    model = subclassed() if name in ("one cluster", "nothing left", "a layer that is not there") else mlp()
    with pytest.raises(error, match=message):
        kp.cluster_weights(model, **arguments)
    assert not find_masked(model)
    assert not isinstance(model, kp.masking.PrunedModel)


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
@pytest.mark.filterwarnings("ignore:.*pruned weights had come back")
def test_stripping_leaves_plain_layers_with_the_same_values(build):
    shared = kp.cluster_weights(kp.prune_weights(build(), 0.5), 5)
    weight = find_masked(shared)[0]
    drift = np.random.default_rng(0).normal(size=weight.weight.shape).astype("float32")
    weight.weight.assign(value(weight.weight.value) + drift * 1e-3)  # assigned by hand, not shared any more
    plain = kp.strip_pruning(shared)
    kp.apply_masks(shared)
    assert not find_masked(plain)
    assert not isinstance(plain, kp.masking.PrunedModel)
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
def test_layers_made_of_layers():
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(Block()(inputs)))
    shared = kp.cluster_weights(model, 3)
    assert len(kernels(shared)) > 4
    before = [kernel.copy() for kernel in kernels(shared)]
    fit(shared)
    assert_shared(shared, before, 3)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="other backends: test_export_elsewhere.py")
def test_a_tflite_file_has_no_more_values(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    import tflite_export

    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(30), keras.layers.Dense(10)])
    shared = kp.cluster_weights(kp.prune_weights(model, 0.5), 8)
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
