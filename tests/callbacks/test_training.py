"""What holds while a pruned model trains: exact zeros, exact numbers, exact schedules."""

import os

import keras
import numpy as np
import pytest
from keras import layers
from support.training_runs import Watch, assert_kept, fit, ramp
from support.zoo import BACKEND, batch, cnn, mlp, nested, regression, subclassed, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.selection.top_k import count_kept

pytestmark = pytest.mark.core


@pytest.mark.parametrize("build", [mlp, cnn, nested])
def test_sparsity_is_reached_exactly_and_no_step_sees_a_pruned_weight(build):
    model, watch = kp.wrap_pruning(build()), Watch()
    history = fit(model, kp.PruningSchedule(ramp(), frequency=3), watch, validation_split=0.25)
    assert_kept(model, 0.8)
    assert len(watch.seen) >= 50
    assert all(watch.seen)
    assert history.history["sparsity"][-1] == pytest.approx(kp.summary(model).prunable_sparsity)


@pytest.mark.parametrize("frequency", [1, 2, 3, 7, 100])
def test_masks_follow_the_schedule_step_by_step(frequency):
    seen = {}

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen[int(value(self.model.optimizer.iterations))] = logs["sparsity"]

    schedule = kp.PolynomialDecay(final_sparsity=0.75, begin_step=2, end_step=11, power=1)
    model = kp.wrap_pruning(keras.Sequential([keras.Input((10,)), layers.Dense(10, use_bias=False)]))
    fit(model, kp.PruningSchedule(schedule, frequency=frequency), Note())
    assert sorted(seen) == list(range(1, 17))
    for step, sparsity in seen.items():
        if step < 2:
            expected = 0
        elif step >= 11:
            expected = 0.75
        else:
            expected = schedule(step - (step - 2) % frequency)
        assert sparsity == pytest.approx(1 - count_kept(100, expected) / 100)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras refuses steps_per_execution above 1 on torch")
@pytest.mark.parametrize("steps", [2, 3, 5, 8])
def test_steps_per_execution_above_one_reaches_the_final_sparsity(steps):
    model, watch = kp.wrap_pruning(mlp()), Watch()
    fit(model, kp.PruningSchedule(ramp(end=13), frequency=4), watch, steps_per_execution=steps)
    assert_kept(model, 0.8)
    assert all(watch.seen)


def test_zero_percent_is_a_no_op():
    plain, pruned = mlp(), None
    pruned = kp.wrap_pruning(plain)
    for model, callbacks in ((plain, []), (pruned, [kp.PruningSchedule(kp.ConstantSparsity(0.0), frequency=1)])):
        keras.utils.set_random_seed(1)
        fit(model, *callbacks, optimizer=keras.optimizers.SGD(0.1), shuffle=False)
    stripped = kp.strip_pruning(pruned)
    for expected, found in zip(plain.get_weights(), stripped.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert kp.summary(pruned).zeros == sum(int((w == 0).sum()) for w in plain.get_weights())


def test_equal_weights_are_pruned_to_the_exact_number():
    model = keras.Sequential([keras.Input((10,)), layers.Dense(10, kernel_initializer="ones")])
    assert_kept(kp.prune_weights(model, 0.3), 0.3)


def test_a_run_too_short_warns_once_with_the_step_it_reached():
    model = kp.wrap_pruning(mlp())
    with pytest.warns(UserWarning, match="ended at step 16.*at step 1000") as record:
        fit(model, kp.PruningSchedule(ramp(end=1000), frequency=1))
    assert sum("Training ended" in str(warning.message) for warning in record) == 1


def test_own_targets_and_layers_left_alone():
    model = kp.wrap_pruning(mlp())
    callback = kp.PruningSchedule(ramp(), targets={"hidden0": 0.5, "hid*": 0.25, "output": None}, frequency=2)
    fit(model, callback)
    by_layer = {weight.layer: weight.kept() for weight in find_masked(model)}
    for name, sparsity in {"hidden0": 0.5, "hidden1": 0.25, "output": 0.0}.items():
        assert by_layer[name].sum() == count_kept(by_layer[name].size, sparsity)


def test_global_selection_reaches_the_sum():
    model = kp.wrap_pruning(mlp())
    fit(model, kp.PruningSchedule(ramp(), selection=kp.Percentile("global"), frequency=2))
    masks = [weight.kept() for weight in find_masked(model)]
    assert sum(mask.sum() for mask in masks) == count_kept(sum(mask.size for mask in masks), 0.8)
    assert len({round(float(mask.mean()), 3) for mask in masks}) > 1


@pytest.mark.parametrize("selection", [kp.Threshold(0.1), kp.RelativeThreshold(0.3), kp.StdThreshold(0.5)])
def test_thresholds_prune_while_fit_runs(selection):
    model, watch = kp.wrap_pruning(mlp()), Watch()
    fit(model, kp.PruningSchedule(selection=selection, frequency=2), watch)
    assert all(watch.seen)
    assert 0.05 < kp.summary(model).prunable_sparsity < 0.95


def test_a_threshold_reaches_the_end_of_its_schedule_and_goes_on():
    plain = mlp()
    model = kp.wrap_pruning(plain)
    threshold = kp.Threshold(kp.PolynomialDecay(final_sparsity=0.3, begin_step=2, end_step=7))
    pruning = kp.PruningSchedule(selection=threshold, frequency=100)
    fit(model, pruning, optimizer=keras.optimizers.SGD(1e-6), epochs=1)
    masked = find_masked(model)
    for weight, layer in zip(masked, plain.layers, strict=True):
        np.testing.assert_array_equal(weight.kept(), np.abs(value(layer.kernel)) >= 0.3)
    for weight in masked:
        weight.weight.assign(value(weight.weight) * 1e-3)
    x, y = regression(model, 800)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[pruning])  # to step 108: all has fallen below the threshold
    assert not any(weight.kept().any() for weight in masked)
    short = kp.StdThreshold(kp.CosineDecay(final_sparsity=0.5, end_step=9))
    with pytest.warns(UserWarning, match="ended at step 8.*at step 9"):
        fit(kp.wrap_pruning(mlp()), kp.PruningSchedule(selection=short), epochs=1)
    with pytest.raises(ValueError, match=r"no step.*Received: selection=Threshold"):
        kp.prune_weights(mlp(), selection=threshold)


def test_masks_hold_without_a_callback():
    model, watch = kp.prune_weights(mlp(), 0.6), Watch()
    fit(model, watch)
    assert all(watch.seen)
    for weight in find_masked(model):
        assert weight.kept().sum() == count_kept(weight.size, 0.6)


def test_frozen_layers_are_left_alone_unless_asked():
    for ask in (False, True):
        plain = mlp()
        plain.get_layer("hidden0").trainable = False
        before = value(plain.get_layer("hidden0").kernel)
        model = kp.wrap_pruning(plain)
        fit(model, kp.PruningSchedule(kp.ConstantSparsity(0.5), prune_frozen=ask))
        after = value(find_masked(model)[0].weight)
        if ask:
            assert (after == 0).mean() == pytest.approx(0.5)
        else:
            np.testing.assert_array_equal(after, before)


def test_a_model_that_is_frozen_as_a_whole_is_refused():
    plain = mlp()
    plain.trainable = False
    with pytest.raises(ValueError, match=r"frozen.*prune_frozen=True.*Received: 3 weights"):
        kp.prune_weights(plain, 0.5)
    with pytest.raises(ValueError, match="frozen"):
        kp.PruningSchedule(kp.ConstantSparsity(0.5)).set_model(kp.wrap_pruning(plain))
    assert_kept(kp.prune_weights(plain, 0.5, prune_frozen=True), 0.5)


def test_embedding_still_masks_padding():
    tokens = keras.Input((7,), dtype="int32")
    x = layers.Embedding(10, 6, mask_zero=True)(tokens)
    model = keras.Model(tokens, layers.Dense(2)(layers.GRU(4)(x)))
    pruned = kp.prune_weights(model, 0.5)
    x = batch(model, 4)
    x[:, 4:] = 0
    longer = np.concatenate([x[:, :4], np.zeros((4, 3), "int32")], axis=1)
    changed = pruned.get_layer("embedding").layer.embeddings
    first = pruned.predict(longer, verbose=0)
    table = value(changed).copy()
    table[0] += 100  # the padding token's vector must not matter
    changed.assign(table)
    np.testing.assert_allclose(pruned.predict(longer, verbose=0), first, rtol=1e-6)


def test_moving_averages_do_not_bring_weights_back():
    for optimizer in (
        keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.9),
        keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
    ):
        model, watch = kp.wrap_pruning(mlp()), Watch()
        fit(model, kp.PruningSchedule(ramp(), frequency=3), watch, optimizer=optimizer)
        assert all(watch.seen)
        assert_kept(model, 0.8)


def test_swapped_moving_averages_are_pruned_during_validation():
    model, watch = kp.wrap_pruning(mlp()), Watch()
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    optimizer = keras.optimizers.Adam(0.01, use_ema=True)
    fit(model, kp.PruningSchedule(ramp(), frequency=3), swap, watch, optimizer=optimizer, validation_split=0.25)
    assert all(watch.seen)


def test_restoring_a_dense_best_epoch_warns_and_says_how_to_start_late():
    class Worse(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = float(epoch)

    model = kp.wrap_pruning(mlp())
    best = keras.callbacks.EarlyStopping("score", mode="min", patience=5, restore_best_weights=True)
    schedule = kp.PolynomialDecay(final_sparsity=0.8, begin_step=9, end_step=20)
    with pytest.warns(UserWarning, match="start_from_epoch"):
        fit(model, Worse(), kp.PruningSchedule(schedule, frequency=1), best, epochs=4)
    late = keras.callbacks.EarlyStopping("score", mode="min", patience=5, restore_best_weights=True, start_from_epoch=3)
    model = kp.wrap_pruning(mlp())
    fit(model, Worse(), kp.PruningSchedule(schedule, frequency=1), late, epochs=5)
    assert_kept(model, 0.8)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=3),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, gradient_accumulation_steps=2, clipnorm=1.0),
    ],
)
def test_gradient_accumulation_counts_true_steps(optimizer):
    model, watch = kp.wrap_pruning(mlp()), Watch()
    fit(model, kp.PruningSchedule(ramp(end=5), frequency=2), watch, optimizer=optimizer())
    assert all(watch.seen)
    assert_kept(model, 0.8)
    model = kp.wrap_pruning(mlp())
    with pytest.warns(UserWarning, match="ended at step"):  # 16 batches, but fewer steps
        fit(model, kp.PruningSchedule(ramp(end=15), frequency=2), optimizer=optimizer())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_half_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = kp.wrap_pruning(mlp())
    finally:
        keras.config.set_dtype_policy("float32")
    watch = Watch()
    fit(model, kp.PruningSchedule(ramp(), frequency=3), watch)
    assert all(watch.seen)
    assert_kept(model, 0.8)
    assert find_masked(model)[0].mask.dtype == find_masked(model)[0].weight.dtype


@pytest.mark.skipif(
    BACKEND == "torch" and not os.environ.get("KERAS_PRUNE_TORCH_COMPILE"),
    reason="torch.compile takes minutes for any model; set KERAS_PRUNE_TORCH_COMPILE=1 to run it",
)
def test_jit_compile():
    model, watch = kp.wrap_pruning(mlp()), Watch()
    fit(model, kp.PruningSchedule(ramp(), frequency=3), watch, jit_compile=True)
    assert all(watch.seen)
    assert_kept(model, 0.8)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others do it themselves")
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_fit_traces_a_step_once():
    traced = []

    class Traced(layers.Dense):
        def call(self, inputs, training=None):
            traced.append(training)
            return super().call(inputs)

    model = kp.wrap_pruning(keras.Sequential([keras.Input((6,)), Traced(4)]))
    traced.clear()
    fit(model, epochs=1)
    assert traced == [True]


def test_train_on_batch():
    model = kp.wrap_pruning(mlp())
    x, y = regression(model)
    model.compile("adam", "mse")
    pruning = kp.PruningSchedule(ramp(), frequency=4)
    pruning.set_model(model)
    for _ in range(14):
        model.train_on_batch(x, y)
        pruning.after_step()
    assert_kept(model, 0.8)
    model.train_on_batch(x, y)
    for weight in find_masked(model):
        assert (value(weight.weight)[~weight.kept()] == 0).all()


def test_two_fits_go_on_where_the_first_ended():
    model = kp.wrap_pruning(mlp())
    x, y = regression(model)
    model.compile("adam", "mse")
    pruning = kp.PruningSchedule(ramp(end=14), frequency=5)
    with pytest.warns(UserWarning, match="ended at step 8"):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[pruning])
    assert 0 < kp.summary(model).prunable_sparsity < 0.8
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[pruning])
    assert_kept(model, 0.8)


def test_what_is_pruned_stays_pruned_when_a_schedule_starts_again():
    model = kp.prune_weights(mlp(), 0.7)
    before = [weight.kept() for weight in find_masked(model)]
    fit(model, kp.PruningSchedule(ramp(final=0.5), frequency=2))
    for old, weight in zip(before, find_masked(model), strict=True):
        np.testing.assert_array_equal(weight.kept(), old)


def test_a_schedule_may_be_any_function():
    model = kp.wrap_pruning(mlp())
    fit(model, kp.PruningSchedule(lambda step: min(0.5, step / 20), frequency=1))
    assert_kept(model, 0.5)


def test_subclassed_models_hold_their_masks_too():
    model, watch = kp.wrap_pruning(subclassed()), Watch()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)).astype("float32"), rng.normal(size=(64, 3)).astype("float32")
    model.compile("adam", "mse")
    callbacks = [kp.PruningSchedule(ramp(), frequency=3, targets={"last": 0.5}), watch]
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, validation_split=0.25, callbacks=callbacks)
    assert all(watch.seen)
    assert history.history["sparsity"][-1] > 0.7
    kept = {weight.layer: weight.kept() for weight in find_masked(model)}
    assert kept["first"].sum() == count_kept(48, 0.8)
    assert kept["last"].sum() == count_kept(24, 0.5)


def test_a_new_importance_is_used():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    pruned = kp.prune_weights(model, 0.5, importance=lambda weight: -np.abs(weight))
    kept, weight = find_masked(pruned)[0].kept(), np.abs(value(model.layers[0].kernel))
    assert weight[kept].max() <= weight[~kept].min()


def test_prune_weights_equals_numpy():
    model = mlp()
    pruned = kp.prune_weights(model, 0.6, targets={"output": 0.25})
    for weight, layer in zip(find_masked(pruned), model.layers, strict=True):
        kernel = value(layer.kernel)
        keep = count_kept(kernel.size, 0.25 if layer.name == "output" else 0.6)
        order = np.argsort(-np.abs(kernel).reshape(-1), kind="stable")[:keep]
        expected = np.zeros(kernel.size, bool)
        expected[order] = True
        np.testing.assert_array_equal(weight.kept().reshape(-1), expected)
        np.testing.assert_array_equal(value(weight.weight), np.where(weight.kept(), kernel, 0))


def test_prune_weights_keeps_to_the_layers_that_were_wrapped():
    pruned = kp.prune_weights(kp.wrap_pruning(mlp(), layers="hidden0"), 0.5)
    assert [weight.layer for weight in find_masked(pruned)] == ["hidden0"]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="Keras writes TensorBoard files with TensorFlow")
def test_sparsity_reaches_history_progress_bar_and_tensorboard(tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    model = kp.wrap_pruning(mlp())
    model.compile("adam", "mse")
    x, y = regression(model)
    callbacks = [kp.PruningSchedule(ramp(), frequency=3), keras.callbacks.TensorBoard(str(tmp_path))]
    history = model.fit(x, y, epochs=2, batch_size=8, verbose=2, callbacks=callbacks)
    reached = kp.summary(model).prunable_sparsity
    assert history.history["sparsity"][-1] == pytest.approx(reached)
    assert f"sparsity: {reached:.4f}" in capsys.readouterr().out
    events = EventAccumulator(str(tmp_path / "train")).Reload()
    assert make_ndarray(events.Tensors("epoch_sparsity")[-1].tensor_proto) == pytest.approx(reached)
