"""Models that were to be pruned and were not: each is said once, where its user looks next, and nothing else is."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers
from support.training_runs import ramp
from support.zoo import mlp, regression, subclassed

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.masking.wrapping import stripped_for_export

pytestmark = pytest.mark.core
SAYS = ("Nothing was pruned", "Less was pruned", "Training ended", "HoldAccuracy", "No layer", "A part of", "No weight")


def said(run):
    """What a function says of what was asked for and not reached, in order."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        run()
    return [str(each.message) for each in record if str(each.message).startswith(SAYS)]


def compiled(model):
    model.compile("sgd", "mse")
    return model


def steps(model, *callbacks, **arguments):
    """A fit of two steps."""
    x = np.ones((16, 12), "float32")
    y = np.ones(tuple(model(x).shape), "float32")
    model.fit(x, y, batch_size=8, verbose=0, callbacks=list(callbacks), **arguments)


@pytest.mark.parametrize("build", [mlp, lambda: subclassed(12)], ids=["graph", "subclassed"])
def test_a_fit_without_a_callback_that_prunes_is_said_once_and_again_when_stripped(build):
    model = compiled(kp.wrap_pruning(build()))
    report = kp.summary(model)
    assert report.missed == ("No mask prunes anything yet.",)
    assert str(report).startswith(report.missed[0])
    (first,) = said(lambda: steps(model, keras.callbacks.LambdaCallback()))
    assert first.startswith("Nothing was pruned: `fit` had no callback that prunes")
    assert "callbacks=[PruningSchedule(...)]" in first
    assert said(lambda: steps(model)) == []
    (exported,) = said(lambda: stripped_for_export(model))
    assert "so it is as dense without them" in exported
    if build is mlp:  # in place, the others are stripped for good
        assert said(lambda: kp.strip_pruning(model)) == [exported]


def test_the_warning_names_the_line_of_the_user():
    model = compiled(kp.wrap_pruning(mlp()))
    x, y = regression(model, 8)
    for run in (lambda: model.fit(x, y, verbose=0), lambda: kp.strip_pruning(model)):
        with pytest.warns(UserWarning, match="Nothing was pruned") as record:
            run()
        assert [each.filename for each in record if "Nothing was pruned" in str(each.message)] == [__file__]


def listed(model, callback):
    return keras.callbacks.CallbackList([callback], add_history=True, model=model, epochs=1)


class OwnFit(keras.Model):
    """A class with a `fit` of its own, which calls the callbacks of its choice."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)
        self.build((None, 12))

    def build(self, shape):
        self.dense.build(shape)
        self.built = True

    def call(self, inputs):
        return self.dense(inputs)

    def fit(self, x, y, pruning):
        pruning.set_model(self)
        for _ in range(2):
            self.train_on_batch(x, y)
            pruning.after_step()


def own_fit():
    model = compiled(kp.wrap_pruning(OwnFit()))
    model.fit(np.ones((8, 12)), np.ones((8, 4)), kp.PruningSchedule(kp.ConstantSparsity(0.5, 100)))


def later():
    """Three fits, in the last of which the schedule begins and ends."""
    model, pruning = compiled(kp.wrap_pruning(mlp())), kp.PruningSchedule(kp.ConstantSparsity(0.5, 5))
    before = said(lambda: [steps(model, pruning) for _ in range(2)])
    assert len(before) == 1
    assert "before the pruning schedule begins at step 5" in before[0]
    steps(model, pruning)
    kp.strip_pruning(model)


def in_a_list():
    model = compiled(kp.wrap_pruning(mlp()))
    x, y = regression(model, 16)
    model.fit(x, y, verbose=0, callbacks=listed(model, kp.PruningSchedule(kp.ConstantSparsity(0.5))))
    kp.strip_pruning(model)


def custom_loop():
    model, pruning = compiled(kp.wrap_pruning(mlp())), kp.PruningSchedule(kp.ConstantSparsity(0.5))
    pruning.set_model(model)
    for _ in range(2):
        model.train_on_batch(*regression(model, 8))
        pruning.after_step()
    kp.strip_pruning(model)


def by_a_callback_of_the_users():
    model, pruning = compiled(kp.wrap_pruning(mlp())), kp.PruningSchedule(kp.ConstantSparsity(0.0))
    pruning.set_model(model)
    steps(model, keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: pruning.after_step()))


def on_purpose():
    model = compiled(kp.wrap_pruning(mlp()))
    steps(model, kp.PruningSchedule(kp.ConstantSparsity(0.0)))
    kp.strip_pruning(model)
    dense = compiled(kp.prune_weights(mlp(), 0.0))
    steps(dense)
    kp.strip_pruning(kp.wrap_pruning(dense))


def pruned_afterwards():
    model = compiled(mlp())
    steps(model)
    model = compiled(kp.prune_weights(model, 0.5))
    steps(model)
    kp.strip_pruning(model)


def copied_masks():
    model = compiled(kp.wrap_pruning(mlp()))
    kp.weights.copy_masks(kp.prune_weights(mlp(), 0.0), model)
    steps(model)
    kp.strip_pruning(model)


def clustered():
    model = compiled(kp.cluster_weights(mlp(), 4))
    steps(model)
    kp.strip_pruning(model)


def in_rounds():
    model = compiled(kp.wrap_pruning(mlp()))
    for ticket in kp.IterativeMagnitude(model, 0.5, rounds=1):
        steps(ticket)
        kp.strip_pruning(ticket)


def searched():
    model = kp.wrap_pruning(mlp())
    model.compile("sgd", "mse")
    hold = kp.HoldAccuracy("loss", 1e9, step=0.5, max_sparsity=0.5)
    steps(model, hold, epochs=3)
    kp.strip_pruning(model)


def movement():
    model = compiled(kp.wrap_pruning(mlp(), movement=True))
    steps(model)
    kp.strip_pruning(kp.prune_weights(model, 0.5, importance="movement"))


def only_used():
    model = compiled(kp.wrap_pruning(mlp()))
    x, y = regression(model, 8)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    model.train_on_batch(x, y)
    kp.cost(model)
    kp.summary(model)
    kp.wrap_pruning(model)


@pytest.mark.parametrize(
    "run",
    [
        own_fit,
        later,
        in_a_list,
        custom_loop,
        by_a_callback_of_the_users,
        on_purpose,
        pruned_afterwards,
        copied_masks,
        clustered,
        in_rounds,
        searched,
        movement,
        only_used,
    ],
    ids=lambda run: run.__name__,
)
def test_there_is_no_false_alarm(run):
    assert said(run) == []


def test_a_model_that_was_loaded_is_judged_by_its_masks(tmp_path):
    model = compiled(kp.wrap_pruning(mlp()))
    steps(model, kp.PruningSchedule(kp.ConstantSparsity(0.5)))
    model.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    assert said(lambda: [steps(loaded), kp.strip_pruning(loaded)]) == []
    kp.wrap_pruning(mlp()).save(tmp_path / "open.keras")
    loaded = keras.saving.load_model(tmp_path / "open.keras")
    assert len(said(lambda: kp.strip_pruning(loaded))) == 1


# Callbacks that prune less than they were asked to.


def schedule(*arguments, **settings):
    return lambda: kp.PruningSchedule(*arguments, **settings)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (
            schedule(ramp(begin_step=100, end=200)),
            "Training ended at step 2, before the pruning schedule begins at step 10",
        ),
        (
            schedule(ramp(end=200), frequency=1),
            "Training ended at step 2, before the pruning schedule does at step 200",
        ),
        (
            schedule(lambda step: 0.5 * (step > 0)),
            "the schedule asks for a sparsity of 0.5000 at step 2, but the last mask",
        ),
        (schedule(selection=kp.Threshold(1e-9)), r"Nothing was pruned: Threshold\(value=1e-09\) keeps every weight"),
        (schedule(kp.ConstantSparsity(0.4), kp.Block((12, 16))), "Nothing was pruned: 40.00% of the weights"),
    ],
    ids=["not begun", "not ended", "no update", "threshold", "blocks"],
)
def test_a_schedule_that_did_not_reach_its_sparsity_is_said(callback, message):
    model = compiled(kp.wrap_pruning(keras.Sequential([keras.Input((12,)), layers.Dense(16)])))
    with pytest.warns(UserWarning, match=message):
        steps(model, callback())


@pytest.mark.parametrize("callback", [schedule(selection=kp.Threshold(0.0)), schedule(ramp(end=2), frequency=100)])
def test_a_schedule_that_reached_what_it_asks_for_is_not(callback):
    model = compiled(kp.wrap_pruning(mlp()))
    assert said(lambda: steps(model, callback())) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_drop": 0.0, "baseline": -1.0, "patience": 1},
            "pruned nothing: at no sparsity that was tried, the lowest 0.02",
        ),
        (
            {"max_drop": 1e9},
            "had not finished its search when training ended, after 3 epochs: a sparsity of 0.2000 holds",
        ),
        ({"max_drop": 1e9, "max_sparsity": 0.0}, "pruned nothing: the model has a sparsity of 0.0000 already"),
    ],
    ids=["none held", "not finished", "nothing to try"],
)
def test_a_search_that_found_nothing_or_not_all_is_said(settings, message):
    model = compiled(kp.wrap_pruning(mlp()))
    found = said(lambda: steps(model, kp.HoldAccuracy("loss", **settings), epochs=3))
    assert len(found) == 1
    assert message in found[0]


def test_a_schedule_whose_updates_were_refused_says_only_that():
    model = compiled(kp.wrap_pruning(mlp()))
    weight = find_masked(model)[0].weight
    weight.assign(np.full(tuple(weight.shape), np.nan))
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        steps(model, kp.PruningSchedule(kp.ConstantSparsity(0.5)))
    assert sum(str(each.message).startswith("The masks are left as they are") for each in record) == 1
    assert not any(str(each.message).startswith(SAYS) for each in record)
