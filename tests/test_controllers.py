"""Controllers against oracles: a metric that is a known function of the sparsity, and rewinding to the bit."""

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import BACKEND, Subclassed, cnn, mlp, regression, subclassed, value

import keras_prune as kp
from keras_prune.controllers.direction import lower_is_better
from keras_prune.cut import count_kept
from keras_prune.masks import find_masked, masked_sparsity


class Metric(keras.callbacks.Callback):
    """Writes a metric that is a function of the model's sparsity, the epoch, and the epochs since it changed."""

    def __init__(self, function, name="val_score"):
        super().__init__()
        self.function, self.name, self.seen, self.same = function, name, [], 0

    def on_epoch_end(self, epoch, logs=None):
        sparsity = masked_sparsity(find_masked(self.model))
        self.same = self.same + 1 if self.seen and self.seen[-1] == sparsity else 1
        self.seen.append(sparsity)
        logs[self.name] = float(self.function(sparsity, epoch, self.same))


def wide():
    """8,000 weights in one array: sparsities are exact to 0.000125."""
    return kp.wrap_pruning(keras.Sequential([keras.Input((80,)), keras.layers.Dense(100, use_bias=False)]))


def fit(model, *callbacks, epochs=40, optimizer=None, size=16, **arguments):
    if isinstance(model, Subclassed):  # has no symbolic input to make data by
        rng = np.random.default_rng(0)
        x, y = (rng.normal(size=(size, width)).astype("float32") for width in (6, 3))
    else:
        x, y = regression(model, size)
    if not model.compiled:
        model.compile(optimizer or keras.optimizers.Adam(0.01), "mse")
    return model.fit(x, y, epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks), **arguments)


def state(model):
    return [np.array(value(variable.value)) for variable in (*model.weights, *model.optimizer.variables)]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_zeros_hold(model):
    for weight in find_masked(model):
        assert (value(weight.weight.value)[~weight.kept()] == 0).all()


# HoldAccuracy


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


@settings(max_examples=8, deadline=None)
@given(
    slope=st.floats(0.01, 2), max_drop=st.floats(0, 0.3), step=st.floats(0.02, 0.6), noise=st.floats(0, 0.1), seed=...
)
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
        ({"max_drop": -0.1}, r"`max_drop` must be .*\[0, inf\).*Received: max_drop=-0.1"),
        ({"step": 0.0}, r"`step` must be .*\(0, 1\)"),
        ({"resolution": 1.0}, r"`resolution` must be .*\(0, 1\)"),
        ({"patience": 0}, "`patience` must be a whole number of at least 1"),
        ({"baseline_epochs": 0}, "`baseline_epochs` must be"),
        ({"max_sparsity": 1.0}, r"`max_sparsity` must be in \[0, 1\)"),
        ({"mode": "up"}, "`mode` must be .* Received: mode='up'"),
        ({"baseline": float("nan")}, "`baseline` must be a number, finite"),
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


# IterativeMagnitude


@given(final=st.floats(0.01, 0.99), rounds=st.integers(1, 12))
def test_each_round_keeps_the_same_fraction_of_what_is_left(final, rounds):
    loop = kp.IterativeMagnitude(wide_once(), final, rounds=rounds)
    densities = 1 - np.array([0.0, *loop.sparsities])
    np.testing.assert_allclose(densities[1:] / densities[:-1], (1 - final) ** (1 / rounds))
    assert loop.sparsities[-1] == final
    assert len(loop) == rounds + 1


@given(final=st.floats(0, 0.999), fraction=st.floats(0.01, 0.9))
def test_a_fraction_is_removed_each_round_and_no_more_than_asked_in_all(final, fraction):
    loop = kp.IterativeMagnitude(wide_once(), final, fraction=fraction)
    densities = 1 - np.array([0.0, *loop.sparsities])
    ratios = densities[1:] / densities[:-1]
    np.testing.assert_allclose(ratios[:-1], 1 - fraction)
    assert ratios[-1] >= (1 - fraction) * (1 - 1e-6)
    assert loop.sparsities[-1] == final


_WIDE = []


def wide_once():
    if not _WIDE:
        _WIDE.append(wide())
    return _WIDE[0]


def test_a_fifth_each_round_is_what_frankle_and_carbin_removed():
    loop = kp.IterativeMagnitude(wide_once(), 1 - 0.8**16)
    np.testing.assert_allclose(loop.sparsities, 1 - 0.8 ** np.arange(1, 17))


@pytest.mark.core
@pytest.mark.parametrize("rewind", [None, "weights", "learning_rate"])
def test_what_goes_back_goes_back_to_the_bit_and_masks_stay(rewind):
    model = kp.wrap_pruning(cnn())
    fit(model, epochs=1)  # so that the start is no fresh optimizer
    start = state(model)
    count = len(model.weights)
    loop = kp.IterativeMagnitude(model, 0.8, rounds=2, rewind=rewind)
    trained, masks = None, None
    for ticket in loop:
        now = state(ticket)
        masked = find_masked(ticket)
        ids = {id(weight.mask): None for weight in masked} | {id(weight.weight): weight.kept() for weight in masked}
        if trained is not None:
            weights, optimizer = {
                None: (trained, trained),
                "weights": (start, start),
                "learning_rate": (trained, start),
            }[rewind]
            assert_equal(now[count:], optimizer[count:])
            for variable, found, expected in zip(ticket.weights, now, weights[:count], strict=False):
                kept = ids.get(id(variable), True)
                if kept is not None:
                    np.testing.assert_array_equal(found, np.where(kept, expected, 0))
            chosen = trained_masks(ticket, trained, loop.results[-1].target)
            assert_equal([weight.kept() for weight in masked], chosen)
            assert masks is None or all((new <= old).all() for new, old in zip(chosen, masks, strict=True))
            masks = chosen
        fit(ticket, epochs=2)
        trained = state(ticket)
        assert_zeros_hold(ticket)
    assert [r.target for r in loop.results] == pytest.approx([0, 1 - 0.2**0.5, 0.8])
    sizes = [weight.size for weight in find_masked(model)]
    assert loop.results[-1].sparsity == pytest.approx(1 - sum(count_kept(n, 0.8) for n in sizes) / sum(sizes))
    assert "80.0" in str(loop.results)


def trained_masks(model, trained, sparsity):
    """The largest of the trained weights, by a stable sort."""
    values = dict(zip([id(variable) for variable in model.weights], trained, strict=False))
    masks = []
    for weight in find_masked(model):
        flat = np.abs(values[id(weight.weight)]).reshape(-1)
        mask = np.zeros(flat.size, bool)
        mask[np.argsort(-flat, kind="stable")[: count_kept(flat.size, sparsity)]] = True
        masks.append(mask.reshape(weight.weight.shape))
    return masks


@pytest.mark.core
def test_a_rewind_point_is_the_state_after_its_step_and_is_taken_once():
    states = {}

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            states.setdefault(int(value(self.model.optimizer.iterations)), state(self.model))

    model = kp.wrap_pruning(mlp())
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 8), 0.9), "mse")
    point = kp.RewindPoint(step=3)
    rates = []
    for ticket in kp.IterativeMagnitude(model, 0.5, rounds=2, rewind="weights", rewind_to=point):
        rates.append(float(ticket.optimizer.learning_rate))
        if len(rates) > 1:
            for found, expected, variable in zip(state(ticket), states[3], ticket.weights, strict=False):
                if not any(variable is w.mask for w in find_masked(ticket)):
                    np.testing.assert_array_equal(found[found != 0], expected[found != 0])
            assert int(value(ticket.optimizer.iterations)) == 3
        fit(ticket, Note(), point, epochs=4)
    assert point.taken_at == 3
    assert rates[0] == pytest.approx(0.1)
    assert rates[1] == rates[2] == pytest.approx(0.05 * (1 + np.cos(np.pi * 3 / 8)))


@pytest.mark.skipif(BACKEND == "torch", reason="Keras refuses steps_per_execution above 1 on torch")
def test_a_rewind_point_is_the_first_state_seen_after_its_step():
    model = kp.wrap_pruning(mlp())
    model.compile("sgd", "mse", steps_per_execution=4)
    point = kp.RewindPoint(step=5)
    fit(model, point, size=64)
    assert point.taken_at == 8


@pytest.mark.parametrize("rewind", [None, "learning_rate", "weights"])
def test_a_trained_model_is_pruned_before_it_is_yielded(rewind):
    model = kp.wrap_pruning(mlp())
    point = kp.RewindPoint(step=1)
    fit(model, point, epochs=2)
    trained = state(model)
    rewind_to = None if rewind is None else point
    loop = kp.IterativeMagnitude(model, 0.5, rounds=2, trained=True, rewind=rewind, rewind_to=rewind_to)
    tickets = iter(loop)
    assert len(loop) == 2
    ticket = next(tickets)
    chosen = trained_masks(ticket, trained, 1 - 0.5**0.5)
    assert_equal([weight.kept() for weight in find_masked(ticket)], chosen)
    assert int(value(ticket.optimizer.iterations)) == (4 if rewind is None else 1)
    assert len(list(tickets)) == 1


def test_an_optimizer_compiled_in_the_loop_starts_afresh():
    model = kp.wrap_pruning(mlp())
    for ticket in kp.IterativeMagnitude(model, 0.5, rounds=2, rewind="weights"):
        ticket.compile("adam", "mse")
        assert int(value(ticket.optimizer.iterations)) == 0
        fit(ticket, epochs=1)


def test_moving_averages_do_not_bring_pruned_weights_back():
    model = kp.wrap_pruning(mlp())
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=1), "mse")
    fit(model, epochs=1)
    for ticket in kp.IterativeMagnitude(model, 0.7, rounds=2, rewind="learning_rate"):
        fit(ticket, epochs=1)
        assert_zeros_hold(ticket)


@pytest.mark.parametrize("build", [mlp, cnn, subclassed])
@pytest.mark.parametrize(
    "arguments",
    [
        {"final_sparsity": 0.6, "selection": kp.Percentile("global")},
        {"selection": kp.StdThreshold(0.4)},
        {"final_sparsity": 0.6, "importance": lambda weight: -np.abs(weight)},
        {"final_sparsity": 0.6, "targets": {"*": 0.3}},
    ],
    ids=["global", "threshold", "smallest", "targets"],
)
def test_it_works_with_selections_importances_and_targets(build, arguments):
    model = kp.wrap_pruning(build())
    loop = kp.IterativeMagnitude(model, rounds=3, rewind="weights", **arguments)
    for ticket in loop:
        fit(ticket, epochs=1)
        assert_zeros_hold(ticket)
    found = [r.sparsity for r in loop.results]
    assert found == sorted(found)
    assert found[-1] > found[0] == 0
    sizes = [weight.size for weight in find_masked(model)]
    goal = {"*": 0.3}.get("*") if "targets" in arguments else arguments.get("final_sparsity")
    if goal:
        assert found[-1] == pytest.approx(goal, abs=len(sizes) / sum(sizes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"final_sparsity": 1.0}, r"`final_sparsity` must be in \[0, 1\)"),
        ({}, "`final_sparsity` must be a number"),
        ({"final_sparsity": 0.5, "rounds": 2, "fraction": 0.2}, "`rounds` or `fraction`, not both"),
        ({"final_sparsity": 0.5, "rounds": 0}, "`rounds` must be a whole number of at least 1"),
        ({"final_sparsity": 0.5, "fraction": 1.0}, r"`fraction` must be a number in \(0, 1\)"),
        ({"final_sparsity": 0.5, "rewind": "all"}, "`rewind` must be None"),
        ({"final_sparsity": 0.5, "rewind_to": kp.RewindPoint(1)}, "of use only with `rewind`"),
        ({"final_sparsity": 0.5, "rewind": "weights", "trained": True}, "pass `rewind_to`"),
        ({"final_sparsity": 0.5, "rewind": "learning_rate"}, "compile the model before the loop"),
        ({"selection": kp.Threshold(0.1)}, "needs `rounds`"),
        ({"final_sparsity": 0.5, "rounds": 2, "selection": kp.Threshold(0.1)}, "takes no sparsity"),
        ({"final_sparsity": 0.5, "targets": {"conv": 0.5}}, "targets"),
    ],
)
def test_bad_arguments_of_iterative_magnitude_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kp.IterativeMagnitude(kp.wrap_pruning(mlp()), **arguments)


def test_a_model_without_masks_a_second_loop_and_a_point_that_was_not_reached_are_refused():
    with pytest.raises(ValueError, match="`model` must have masks"):
        kp.IterativeMagnitude(mlp(), 0.5)
    with pytest.raises(TypeError, match="RewindPoint"):
        kp.IterativeMagnitude(kp.wrap_pruning(mlp()), 0.5, rewind="weights", rewind_to=3)
    loop = kp.IterativeMagnitude(kp.wrap_pruning(mlp()), 0.5, rounds=1)
    assert len(list(loop)) == 2
    with pytest.raises(ValueError, match="a second loop"):
        next(iter(loop))
    model = kp.wrap_pruning(mlp())
    point = kp.RewindPoint(step=100)
    tickets = iter(kp.IterativeMagnitude(model, 0.5, rewind="weights", rewind_to=point))
    fit(next(tickets), point, epochs=1)
    with pytest.raises(ValueError, match=r"`rewind_to` has no snapshot.*Received: 100"):
        next(tickets)
    assert masked_sparsity(find_masked(model)) == 0


# copy_masks


@pytest.mark.core
def test_masks_are_copied_and_the_other_weights_stay():
    ticket = kp.prune_once(mlp(), 0.7)
    control = kp.wrap_pruning(mlp())
    before = [np.array(value(weight.weight.value)) for weight in find_masked(control)]
    kp.copy_masks(ticket, control)
    for given_, found, old in zip(find_masked(ticket), find_masked(control), before, strict=True):
        np.testing.assert_array_equal(found.kept(), given_.kept())
        np.testing.assert_array_equal(value(found.weight.value), np.where(given_.kept(), old, 0))
    fit(control, epochs=1)
    assert_zeros_hold(control)


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"same shapes\. Received: masks of shapes"):
        kp.copy_masks(kp.prune_once(mlp(), 0.7), kp.wrap_pruning(mlp(units=(16, 9))))
    with pytest.raises(ValueError, match="same shapes"):
        kp.copy_masks(mlp(), mlp())
