"""Values stay shared while a model trains, however it does."""

import keras
import numpy as np
import pytest
from support.sharing_runs import Watch, assert_shared, fit, kernels, moved
from support.zoo import BACKEND, cnn, mlp, nested, regression, subclassed, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked

core = pytest.mark.core


@core
@pytest.mark.parametrize("build", [mlp, cnn, nested])
@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_values_stay_shared_after_every_step(build, sparsity):
    model = build()
    shared = kp.cluster_weights(kp.prune_weights(model, sparsity) if sparsity else model, 6)
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
    shared = kp.cluster_weights(kp.prune_weights(mlp(), 0.5), 5)
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
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
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
    shared = kp.cluster_weights(kp.prune_weights(build(), 0.5), 4)
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
    once = kp.prune_weights(shared, 0.9)
    assert all(weight.shared is not None for weight in find_masked(once))


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


@core
def test_loops_of_ones_own_share_values_too(rng):
    shared = kp.cluster_weights(kp.prune_weights(nested(), 0.5), 4)
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
    shared = kp.cluster_weights(kp.prune_weights(mlp(units=(8,)), 0.5), 4)
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
