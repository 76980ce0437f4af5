"""`IterativeMagnitude`, `RewindPoint` and `copy_masks`: rewinding to the bit."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.controller_runs import assert_equal, assert_zeros_hold, fit, state, wide
from support.zoo import BACKEND, cnn, mlp, subclassed, value

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked, masked_sparsity
from keras_prune.selection.top_k import count_kept


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
@pytest.mark.filterwarnings("ignore:Nothing was pruned")  # dense training, pruned later
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


@pytest.mark.filterwarnings("ignore:Nothing was pruned")  # dense training, pruned later
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
        ({"final_sparsity": 1.0}, r"`final_sparsity` must be a number in \[0, 1\)"),
        ({}, "`final_sparsity` must be a number"),
        ({"final_sparsity": 0.5, "rounds": 2, "fraction": 0.2}, "`rounds` or `fraction`, not both"),
        ({"final_sparsity": 0.5, "rounds": 0}, "`rounds` must be a whole number of at least 1"),
        ({"final_sparsity": 0.5, "fraction": 1.0}, r"`fraction` must be a number in \(0, 1\)"),
        ({"final_sparsity": 0.5, "rewind": "all"}, "`rewind` must be one of .None, 'weights', 'learning_rate'"),
        ({"final_sparsity": 0.5, "rewind_to": kp.RewindPoint(1)}, "`rewind_to` needs `rewind`"),
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


@pytest.mark.core
def test_masks_are_copied_and_the_other_weights_stay():
    ticket = kp.prune_weights(mlp(), 0.7)
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
        kp.copy_masks(kp.prune_weights(mlp(), 0.7), kp.wrap_pruning(mlp(units=(16, 9))))
    with pytest.raises(ValueError, match="same shapes"):
        kp.copy_masks(mlp(), mlp())
