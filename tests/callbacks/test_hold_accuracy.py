"""`HoldAccuracy` against an oracle: a metric that is a known function of the sparsity."""

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.controller_runs import Metric, assert_equal, assert_zeros_hold, fit, state, wide
from support.zoo import cnn, mlp, regression, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked, masked_sparsity
from keras_prune.measurement.metric_direction import lower_is_better
from keras_prune.selection.top_k import count_kept


@pytest.mark.core
@pytest.mark.parametrize("limit", [0.05, 0.333, 0.71, 0.9])
@pytest.mark.parametrize("lower", [False, True])
def test_it_ends_within_the_resolution_of_a_known_limit_and_never_beyond_it(limit, lower):
    # The metric is 1 up to the limit and falls beyond it: with a drop of 0, the limit is the answer.
    metric = Metric(lambda sparsity, *_: (1 + 1 * (sparsity > limit)) if lower else 1 - (sparsity > limit))
    hold = kp.HoldAccuracy("val_score", 0.0, mode="min" if lower else "max", patience=1, resolution=0.01)
    model = wide()
    fit(model, metric, hold)
    assert limit - 0.0102 <= hold.sparsity <= limit
    assert hold.sparsity == max(d.sparsity for d in hold.decisions if d.decision == "held" or d.target == 0)
    assert len(hold.decisions) < 40, "it should have stopped the training itself"
    assert_zeros_hold(model)


@settings(max_examples=8)
@given(
    slope=st.floats(0.01, 2), max_drop=st.floats(0, 0.3), step=st.floats(0.02, 0.6), noise=st.floats(0, 0.1), seed=...
)
@pytest.mark.filterwarnings("ignore:HoldAccuracy")
def test_it_never_ends_below_its_bound(slope: float, max_drop: float, step: float, noise: float, seed: int):
    rng = np.random.default_rng(abs(seed))
    metric = Metric(lambda sparsity, *_: 0.9 - slope * sparsity**2 + noise * rng.normal())
    hold = kp.HoldAccuracy("val_score", max_drop, mode="max", step=step, resolution=0.02, patience=2)
    model = kp.wrap_pruning(mlp())
    fit(model, metric, hold, epochs=25)
    bound = hold.baseline - max_drop
    held = [d for d in hold.decisions if d.decision == "held"]
    assert all(d.metric >= bound for d in held)
    assert all(d.metric < bound for d in hold.decisions if d.decision in ("wait", "failed"))
    assert hold.sparsity == (held[-1].sparsity if held else 0.0)
    assert [d.sparsity for d in held] == sorted(d.sparsity for d in held)


def test_the_first_attempts_rise_by_the_step_and_then_the_bracket_is_halved():
    hold = kp.HoldAccuracy("val_score", 0.0, mode="max", patience=1, step=0.2, resolution=0.05)
    fit(wide(), Metric(lambda sparsity, *_: float(sparsity < 0.47)), hold)
    found = [(round(d.target, 6), d.decision) for d in hold.decisions]
    assert found == [
        (0.0, "baseline"),
        (0.2, "held"),
        (0.4, "held"),
        (0.6, "failed"),
        (0.5, "failed"),
        (0.45, "held"),
    ]
    assert hold.sparsity == pytest.approx(0.45)


@pytest.mark.core
def test_stepping_back_brings_weights_masks_and_optimizer_back_to_the_bit():
    after = {}

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            after[epoch] = state(self.model)

    # 0.5 holds in epoch 1, 0.98 fails in epochs 2 and 3.
    hold = kp.HoldAccuracy("val_score", 0.0, mode="max", step=0.5, resolution=0.48)
    model = kp.wrap_pruning(mlp())
    before = Note()
    fit(
        model,
        Metric(lambda sparsity, *_: float(sparsity < 0.6)),
        before,
        hold,
        optimizer=keras.optimizers.SGD(0.1, 0.9),
    )
    assert [d.decision for d in hold.decisions] == ["baseline", "held", "wait", "failed"]
    assert_equal(state(model), after[1])
    assert any((one != other).any() for one, other in zip(after[1], after[3], strict=True))
    assert int(value(model.optimizer.iterations)) == 4


@pytest.mark.filterwarnings("ignore:HoldAccuracy")
def test_without_room_for_any_step_it_ends_with_the_unpruned_model_of_the_best_epoch_of_the_baseline():
    after = []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            after.append(state(self.model))

    scores = [0.5, 0.9, 0.7]
    hold = kp.HoldAccuracy("val_score", 0.05, mode="max", baseline_epochs=3, patience=1, resolution=0.02)
    model = kp.wrap_pruning(mlp())
    fit(model, Metric(lambda sparsity, epoch, _: scores[epoch] if epoch < 3 else 0.1), Note(), hold)
    assert hold.baseline == 0.9
    assert hold.sparsity == 0.0
    assert {d.decision for d in hold.decisions[3:]} == {"failed"}
    assert hold.decisions[-1].target <= 0.04
    assert_equal(state(model), after[1])


@pytest.mark.filterwarnings("ignore:HoldAccuracy")
def test_a_sparsity_is_given_as_many_epochs_as_patience_says():
    def slow(sparsity, epoch, same):  # needs three epochs to recover
        return 1.0 if same >= 3 or sparsity == 0 else 0.0

    ends = {}
    for patience in (2, 3):
        hold = kp.HoldAccuracy("val_score", 0.1, mode="max", patience=patience, step=0.4, max_sparsity=0.8)
        fit(wide(), Metric(slow), hold)
        ends[patience] = hold.sparsity, [d.decision for d in hold.decisions[1:4]]
    assert ends[2] == (0.0, ["wait", "failed", "wait"])
    assert ends[3] == (pytest.approx(0.8), ["wait", "wait", "held"])


@pytest.mark.parametrize(
    ("arguments", "bound"),
    [
        ({"max_drop": 0.1, "mode": "max"}, 1.9),
        ({"max_drop": 0.1, "mode": "min"}, 2.1),
        ({"max_drop": 0.1, "mode": "max", "relative": True}, 1.8),
        ({"max_drop": 0.1, "mode": "min", "relative": True}, 2.2),
        ({"max_drop": 0.1, "mode": "max", "relative": True, "baseline": -4.0}, -4.4),
        ({"max_drop": 0.0, "mode": "max", "baseline": 2.0}, 2.0),
    ],
)
def test_the_bound_is_the_drop_below_or_above_the_baseline(arguments, bound):
    hold = kp.HoldAccuracy("val_score", step=0.9, max_sparsity=0.5, **arguments)
    fit(wide(), Metric(lambda *_: 2.0), hold)
    assert hold.bound == pytest.approx(bound)
    assert hold.sparsity == 0.5


@pytest.mark.filterwarnings("ignore:HoldAccuracy")
def test_a_given_baseline_is_held_against_from_the_first_epoch():
    hold = kp.HoldAccuracy("val_score", 0.0, mode="max", baseline=0.8, step=0.5, max_sparsity=0.5)
    fit(wide(), Metric(lambda *_: 0.8), hold)
    assert [(d.epoch, d.target, d.decision) for d in hold.decisions] == [(0, 0.5, "held")]
    model = wide()
    model.compile("adam", "mse")
    before = state(model)
    hold = kp.HoldAccuracy("val_score", 0.0, mode="max", baseline=0.8, patience=1, resolution=0.2)
    fit(model, Metric(lambda *_: 0.79), hold)
    assert_equal(state(model)[:2], before[:2])


@pytest.mark.filterwarnings("ignore:HoldAccuracy")
def test_nan_does_not_hold():
    hold = kp.HoldAccuracy("val_score", 0.5, mode="min", patience=1, resolution=0.3)
    fit(wide(), Metric(lambda sparsity, *_: np.nan if sparsity else 1.0), hold)
    assert [d.decision for d in hold.decisions] == ["baseline", "failed"]
    assert hold.sparsity == 0


def test_layers_with_a_target_of_their_own_never_get_beyond_it():
    model = kp.wrap_pruning(mlp())
    hold = kp.HoldAccuracy(
        "val_score", 0.0, mode="max", step=0.4, max_sparsity=0.8, targets={"output": None, "hidden0": 0.5}
    )
    fit(model, Metric(lambda *_: 1.0), hold)
    kept = {weight.layer: int(weight.kept().sum()) for weight in find_masked(model)}
    assert kept == {"hidden0": count_kept(12 * 16, 0.5), "hidden1": count_kept(16 * 8, 0.8), "output": 8 * 4}


@pytest.mark.core
def test_a_real_loss_is_held_with_moving_averages_and_validation_data():
    model = kp.wrap_pruning(cnn())
    x, y = regression(model, 48)
    model.compile(keras.optimizers.Adam(0.01, use_ema=True), "mse")
    hold = kp.HoldAccuracy("val_loss", 0.2, relative=True, baseline_epochs=3, step=0.3, resolution=0.1)
    model.fit(x, y, validation_data=(x, y), epochs=30, batch_size=16, verbose=0, callbacks=[hold])
    held = [d for d in hold.decisions if d.decision == "held"]
    assert held, str(hold.decisions)
    loss = model.evaluate(x, y, verbose=0)
    assert loss <= hold.bound * (1 + 1e-5)
    assert loss == pytest.approx(held[-1].metric, rel=1e-4)
    assert hold.sparsity == held[-1].sparsity
    assert_zeros_hold(model)


def test_movement_is_read_when_a_sparsity_is_tried():
    seen = {}

    class Note(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen[epoch] = {weight.path: np.array(value(weight.movement)) for weight in find_masked(self.model)}

    model = kp.wrap_pruning(mlp(), movement=True)
    hold = kp.HoldAccuracy("val_score", 0.0, mode="max", step=0.5, max_sparsity=0.5, importance="movement")
    fit(model, Metric(lambda *_: 1.0), Note(), hold)
    assert [d.decision for d in hold.decisions] == ["baseline", "held"]
    for weight in find_masked(model):
        scores, kept = seen[1][weight.path], weight.kept()  # pruned in epoch 1, after what epoch 0 had moved
        assert kept.sum() == count_kept(kept.size, 0.5)
        assert scores[kept].min() >= scores[~kept].max()
        assert len(np.unique(scores)) > kept.size / 2


def test_a_monitor_that_is_not_in_the_logs_is_refused_and_nothing_has_changed():
    for baseline in (None, 1.0):
        model = kp.wrap_pruning(mlp())
        with pytest.raises(ValueError, match=r"Available: loss, val_score\. Received: monitor='val_acc'"):
            fit(model, Metric(lambda *_: 1.0), kp.HoldAccuracy("val_acc", mode="max", baseline=baseline))
        assert masked_sparsity(find_masked(model)) == 0
        assert all(np.count_nonzero(value(weight.weight.value)) == weight.size for weight in find_masked(model))


def test_a_fit_too_short_to_try_anything_warns():
    model = wide()
    with pytest.warns(UserWarning, match="Training ended after 2 epochs"):
        fit(model, Metric(lambda sparsity, *_: 1 - sparsity), kp.HoldAccuracy("val_score", mode="max"), epochs=2)
    assert masked_sparsity(find_masked(model)) == 0


def test_it_shares_a_fit_with_no_other_callback_that_prunes():
    def hold():
        return kp.HoldAccuracy("val_score", mode="max")

    metric = Metric(lambda *_: 1.0)
    with pytest.raises(ValueError, match="two HoldAccuracy callbacks"):
        fit(wide(), metric, hold(), hold())
    for callbacks in (
        [kp.PruningSchedule(kp.ConstantSparsity(0.5)), hold()],
        [hold(), kp.PruningSchedule(kp.ConstantSparsity(0.5))],
    ):
        with pytest.raises(ValueError, match="a HoldAccuracy and a PruningSchedule in the same fit"):
            fit(wide(), metric, *callbacks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_drop": -0.1}, r"`max_drop` must be a number of at least 0\. Received: max_drop=-0.1"),
        ({"step": 0.0}, r"`step` must be .*\(0, 1\)"),
        ({"resolution": 1.0}, r"`resolution` must be .*\(0, 1\)"),
        ({"patience": 0}, "`patience` must be a whole number of at least 1"),
        ({"baseline_epochs": 0}, "`baseline_epochs` must be"),
        ({"max_sparsity": 1.0}, r"`max_sparsity` must be a number in \[0, 1\)"),
        ({"mode": "up"}, "`mode` must be .* Received: mode='up'"),
        ({"baseline": float("nan")}, "`baseline` must be a finite number"),
        ({"selection": kp.Threshold(0.1)}, "its selection must take a sparsity"),
    ],
)
def test_bad_arguments_of_hold_accuracy_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kp.HoldAccuracy(**arguments)


def test_a_model_without_masks_or_a_target_without_layer_is_refused():
    with pytest.raises(ValueError, match="needs a model with masks"):
        fit(mlp(), kp.HoldAccuracy())
    with pytest.raises(ValueError, match="targets"):
        fit(kp.wrap_pruning(mlp()), kp.HoldAccuracy(targets={"conv": 0.5}))


def test_whether_high_or_low_is_better_is_told_by_metric_or_name():
    model = mlp()
    model.compile("adam", "mse", metrics=[keras.metrics.MeanAbsoluteError(name="strange")])
    model.fit(np.zeros((4, 12)), np.zeros((4, 4)), verbose=0)
    assert lower_is_better(model, "val_strange")
    for name, lower in {"val_loss": 1, "a_loss": 1, "val_out_accuracy": 0, "mean_squared_error": 1, "auc": 0}.items():
        assert lower_is_better(model, name) == bool(lower)
    for name in ("val_score", "error_accuracy"):
        with pytest.raises(ValueError, match=f"`mode` must .*monitor='{name}'"):
            lower_is_better(model, name)


def test_decisions_are_frozen_and_print_as_a_table():
    hold = kp.HoldAccuracy("val_score", 0.0, mode="max", step=0.5, max_sparsity=0.5)
    fit(wide(), Metric(lambda *_: 0.75), hold)
    with pytest.raises(dataclasses.FrozenInstanceError):
        hold.decisions[0].metric = 1.0
    lines = [line.split() for line in str(hold.decisions).splitlines() if "0.75" in line]
    assert lines == [
        ["0", "0.00%", "0.00%", "0.75", "0.75", "baseline"],
        ["1", "50.00%", "50.00%", "0.75", "0.75", "held"],
    ]
