"""A `HoldAccuracy` that is killed and resumed ends as one that ran through."""

import keras
import numpy as np
import pytest
from support.controller_runs import Metric, assert_equal, fit, state
from support.zoo import mlp

import keras_prune as kp

pytestmark = pytest.mark.core


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Ends the run in an epoch, at its begin or between two batches."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.batch, self.epoch = epoch, batch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if (epoch, self.batch) == (self.at, None):
            raise Killed

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, self.batch):
            raise Killed


def run(folder, *more, limit=0.45, hold=None, backup_first=False, seed=3):
    keras.utils.set_random_seed(seed)
    model = kp.wrap_pruning(mlp())
    hold = hold or kp.HoldAccuracy(
        "val_score", 0.0, mode="max", step=0.3, resolution=0.1, baseline_epochs=2, backup=folder and folder / "hold"
    )
    callbacks = [Metric(lambda sparsity, *_: float(sparsity <= limit)), hold]
    if folder is not None:
        restore = keras.callbacks.BackupAndRestore(str(folder / "keras"))
        callbacks.insert(1 if backup_first else 2, restore)
    fit(model, *callbacks, *more, optimizer=keras.optimizers.SGD(0.05, 0.9), shuffle=False)
    return model, hold


@pytest.fixture(scope="module")
def unbroken():
    return run(None)


# Epochs: two of the baseline, 0.3 holds in 2, 0.6 waits in 3 and fails in 4, 0.45 holds in 5, 0.525 fails in 6 and 7.
@pytest.mark.parametrize(("epoch", "batch"), [(0, 0), (1, 0), (4, 0), (5, None), (7, 1)])
def test_a_resumed_search_ends_as_an_unbroken_one(epoch, batch, unbroken, tmp_path):
    whole, expected = unbroken
    assert [d.decision for d in expected.decisions] == [
        *("baseline", "baseline", "held", "wait", "failed", "held", "wait", "failed"),
    ]
    with pytest.raises(Killed):
        run(tmp_path, Kill(epoch, batch))
    model, hold = run(tmp_path, seed=4)  # other first weights: all that counts comes from the files
    if epoch == 0:  # nothing was saved yet: another run from its start
        assert [d.decision for d in hold.decisions] == [d.decision for d in expected.decisions]
        return
    assert list(hold.decisions) == list(expected.decisions)
    assert (hold.baseline, hold.bound, hold.sparsity) == (expected.baseline, expected.bound, expected.sparsity)
    assert_equal(state(model), state(whole))
    assert not list(tmp_path.glob("**/*.npz")), "the backup is emptied in the end"


def test_listed_after_the_backup_of_keras_it_steps_back_itself(unbroken, tmp_path):
    whole, expected = unbroken
    with pytest.raises(Killed):
        run(tmp_path, Kill(5, 0), backup_first=True)
    model, hold = run(tmp_path, backup_first=True, seed=4)
    assert list(hold.decisions) == list(expected.decisions)
    assert_equal(state(model), state(whole))


def test_a_backup_of_other_epochs_or_of_another_model_is_refused(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, Kill(5, 0))
    files = {path.name: path.read_bytes() for path in (tmp_path / "hold").iterdir()}
    assert set(files) == {"3.hold.npz", "4.hold.npz"}
    hold = kp.HoldAccuracy("val_score", mode="max", backup=tmp_path / "hold")
    model = kp.wrap_pruning(mlp())
    before = [np.array(weight) for weight in model.get_weights()]
    with pytest.raises(ValueError, match=r"after epoch 1, .*Received: .*, with those after epochs \[3, 4\]"):
        fit(model, Metric(lambda *_: 1.0), hold, initial_epoch=2)
    wide = kp.wrap_pruning(keras.Sequential([keras.Input((12,)), keras.layers.Dense(5)]))
    with pytest.raises(ValueError, match=r"must be of this model and optimizer\. Received: ") as caught:
        fit(wide, Metric(lambda *_: 1.0), hold, initial_epoch=5)
    assert "kernel) has 240 bytes in the model and 768 bytes in the backup; 15 arrays differ" in str(caught.value)
    same = kp.wrap_pruning(mlp())
    others = {"step": ("0.1", "0.3"), "resolution": ("0.01", "0.1"), "max_drop": ("0.01", "0.0")}
    with pytest.raises(ValueError, match="must be of a search with the same settings: empty the folder") as caught:
        fit(same, Metric(lambda *_: 1.0), hold, initial_epoch=5, optimizer=keras.optimizers.SGD(0.05, 0.9))
    for name, (now, saved) in others.items():
        assert f"{name}={now}, and it was made with {saved}" in str(caught.value)
    assert "patience" not in str(caught.value)
    assert_equal(model.get_weights(), before)
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "hold").iterdir()}
