"""Files that the package writes for itself: journals, and backups of `HoldAccuracy`."""

import keras
from support.controller_runs import Metric, fit
from support.zoo import mlp

import keras_prune as kp
from keras_prune.automation.journal import Decision, Journal
from keras_prune.automation.pareto import Candidate
from keras_prune.callbacks import hold_resuming
from keras_prune.callbacks.hold_backup import Backup, settings_of


def journal(folder):
    """A journal with one candidate; returns its path."""
    path = folder / "dense.tflite"
    candidate = Candidate("dense", 0.9, 0.9, 100, 80, 10, 10, 5, None, path, "not pruned")
    Journal(folder, "mark", "acc", True).add(Decision("dense", None, 0.9, 0.8, "baseline", "", 1.0), candidate)
    return folder / "journal.json"


def backup(folder):
    """The backup after an epoch of a run that was killed; returns its path."""

    class Killed(Exception):
        pass

    class Kill(Metric):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise Killed

    hold = kp.HoldAccuracy("val_score", mode="max", baseline_epochs=2, backup=folder)
    try:
        fit(kp.wrap_pruning(mlp()), Metric(lambda *_: 1.0), hold, Kill(lambda *_: 1.0))
    except Killed:
        return folder / "2.hold.npz"
    raise AssertionError("it was not killed")


def resume(path):
    """Reads a backup as `HoldAccuracy` does."""
    model = kp.wrap_pruning(mlp())
    model.compile(keras.optimizers.Adam(0.01), "mse")
    epoch = int(path.name.split(".")[0])
    settings = settings_of(kp.HoldAccuracy("val_score", mode="max", baseline_epochs=2))
    return Backup(path.parent).load(epoch, model, hold_resuming.STATE, hold_resuming.Decision, settings)
