"""`AtomicBackup`: a run that is killed at any moment is resumed, and ends as one that ran through."""

import functools
import json
import os
import pathlib

import keras
import numpy as np
import pytest
from support.controller_runs import Metric, assert_equal, fit, state
from support.zoo import mlp

import keras_prune as kp

pytestmark = pytest.mark.core


class Killed(BaseException):
    pass


class Kill(keras.callbacks.Callback):
    """Ends the run after so many batches, or in the hook that is named."""

    def __init__(self, batches=None, hook=None, epoch=None):
        super().__init__()
        self.left, self.hook, self.epoch, self.seen = batches, hook, epoch, []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(epoch)

    def on_train_batch_end(self, batch, logs=None):
        if self.left is not None:
            self.left -= 1
            if not self.left:
                raise Killed

    def on_epoch_end(self, epoch, logs=None):
        if self.hook == "on_epoch_end" and epoch == self.epoch:
            raise Killed

    def on_train_end(self, logs=None):
        if self.hook == "on_train_end":
            raise Killed


def run(folder, kill=None, save_freq="epoch", seed=3, epochs=3, backup=None):
    keras.utils.set_random_seed(seed)
    model = kp.wrap_pruning(mlp())
    schedule = kp.PolynomialDecay(final_sparsity=0.75, end_step=8)
    model.compile(keras.optimizers.SGD(0.05, 0.9), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(48, 12)).astype("float32"), rng.normal(size=(48, 4)).astype("float32")
    callbacks = [kp.PruningSchedule(schedule, frequency=2), backup or kp.AtomicBackup(folder, save_freq)]
    callbacks += [kill] if kill else []
    model.fit(x, y, batch_size=12, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    return model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return state(run(tmp_path_factory.mktemp("whole") / "backup"))


@pytest.mark.parametrize("kill", [{"batches": 2}, {"batches": 7}, {"hook": "on_epoch_end", "epoch": 2}])
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_a_resumed_run_ends_as_an_unbroken_one(kill, whole, tmp_path):
    with pytest.raises(Killed):
        run(tmp_path / "backup", Kill(**kill))
    assert_equal(state(run(tmp_path / "backup", seed=3 if kill == {"batches": 2} else 4)), whole)
    assert list(tmp_path.iterdir()) == []


class Disk:
    """Counts what changes the disk while a backup is written, and lets so many of these steps happen."""

    def __init__(self, patch, steps):
        self.patch, self.left = patch, steps

    def arm(self):
        for name in ("replace", "fsync", "unlink", "open"):
            self.patch.setattr(os, name, functools.partial(self.step, getattr(os, name)))

    def step(self, real, *words, **named):
        if not self.left:
            raise Killed
        self.left -= 1
        return real(*words, **named)


class Watched(kp.AtomicBackup):
    """Comes to the last step of the disk in the backup after the second epoch."""

    disk = None

    def write(self, epoch):
        if epoch == 2:
            self.disk.arm()
        super().write(epoch)
        self.disk.patch.undo()


@pytest.mark.slow
def test_a_kill_at_any_step_of_the_writing_loses_at_most_an_epoch(whole, tmp_path, monkeypatch):
    for steps in range(40):
        folder = tmp_path / str(steps)
        backup = Watched(folder)
        with monkeypatch.context() as patch:
            backup.disk = Disk(patch, steps)
            try:
                run(folder, backup=backup, epochs=2)
                break
            except Killed:
                pass
        kill = Kill()
        assert_equal(state(run(folder, kill, seed=4)), whole)
        assert kill.seen[0] in (1, 2)
        assert not folder.exists()
    assert 5 < steps < 39


def test_batches_count_in_the_epoch_that_was_resumed(tmp_path):
    """Keras's callback names epoch 0 there, and a second kill begins all over."""
    folder = tmp_path / "backup"
    for batches in (6, 2):
        with pytest.raises(Killed):
            run(folder, Kill(batches=batches), save_freq=1)
        assert json.loads((folder / "backup.json").read_text())["epoch"] == 1
    kill = Kill()
    run(folder, kill, save_freq=1)
    assert kill.seen == [1, 2]


def test_the_next_fit_of_a_resumed_model_has_all_its_epochs(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path / "backup", Kill(batches=7))
    model = run(tmp_path / "backup")
    assert len(model.fit(np.zeros((8, 12)), np.zeros((8, 4)), epochs=2, verbose=0).epoch) == 2


def test_what_cannot_be_restored_is_said(tmp_path):
    folder = tmp_path / "backup"
    with pytest.raises(Killed):
        run(folder, Kill(batches=7))
    (weights,) = folder.glob("*.weights.h5")
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"delete this one to begin again\. Received: backup_dir='.*backup'"):
        run(folder)
    (folder / "backup.json").write_text("")
    with pytest.raises(ValueError, match=r"delete this one to begin again\. Received: backup_dir='.*backup'"):
        run(folder)
    with pytest.raises(Killed):
        run(None, Kill(batches=7), backup=keras.callbacks.BackupAndRestore(str(tmp_path / "keras")))
    with pytest.raises(ValueError, match=r"one of AtomicBackup: .*Received: backup_dir='.*keras', which Keras's"):
        run(tmp_path / "keras")
    backup = kp.AtomicBackup(folder)
    backup.set_model(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match="must be built"):
        backup.find()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("",), ValueError),
        ((3,), ValueError),
        (("a", 0), ValueError),
        (("a", "batch"), ValueError),
        (("a", 1.5), ValueError),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(error, match="Received: "):
        kp.AtomicBackup(*arguments)


@pytest.mark.parametrize("kept", [True, False])
def test_it_may_be_kept(kept, tmp_path):
    backup = kp.AtomicBackup(pathlib.Path(tmp_path) / "backup", delete_checkpoint=not kept)
    run(None, backup=backup)
    assert (tmp_path / "backup").exists() == kept


def hold(folder, *more, epochs=30, limit=0.45, seed=3):
    keras.utils.set_random_seed(seed)
    model = kp.wrap_pruning(mlp())
    callback = kp.HoldAccuracy(
        "val_score", 0.0, mode="max", step=0.3, resolution=0.1, baseline_epochs=2, backup=folder / "hold"
    )
    metric = Metric(lambda sparsity, *_: float(sparsity <= limit))
    callbacks = [metric, callback, kp.AtomicBackup(folder / "model"), *more]
    fit(model, *callbacks, optimizer=keras.optimizers.SGD(0.05, 0.9), shuffle=False, epochs=epochs)
    return model, callback


@pytest.mark.parametrize("epochs", [5, 30])  # 5: the last epoch is one whose sparsity has failed
@pytest.mark.parametrize("hook", ["on_epoch_end", "on_train_end"])
@pytest.mark.filterwarnings("ignore:HoldAccuracy")
def test_a_search_that_is_killed_in_its_end(epochs, hook, tmp_path):
    model, expected = hold(tmp_path / "whole", epochs=epochs)
    last = expected.decisions[-1].epoch
    with pytest.raises(Killed):
        hold(tmp_path / "killed", Kill(hook=hook, epoch=last), epochs=epochs)
    again, found = hold(tmp_path / "killed", epochs=epochs, seed=4 if hook == "on_epoch_end" else 3)
    assert found.sparsity == expected.sparsity
    assert [each.decision for each in found.decisions] == [each.decision for each in expected.decisions]
    assert_equal(again.get_weights(), model.get_weights())


def test_a_search_removes_the_backup_of_the_model_before_its_own(tmp_path, monkeypatch):
    seen = []
    clear = kp.AtomicBackup.clear
    monkeypatch.setattr(kp.AtomicBackup, "clear", lambda self: (seen.append((tmp_path / "hold").exists()), clear(self)))
    hold(tmp_path)
    assert seen[0]
    assert list(tmp_path.iterdir()) == []
