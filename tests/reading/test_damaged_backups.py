"""Backups of `AtomicBackup` that are damaged: one `ValueError` that names the folder, before training begins."""

import keras
import pytest
from support.zoo import mlp

import keras_prune as kp

pytestmark = pytest.mark.core

INDEXES = {
    "nested": "[" * 100_000,
    "nested objects": '{"a":' * 100_000,
    "infinite": '{"epoch": Infinity, "weights": "WEIGHTS"}',
    "negative": '{"epoch": -1, "weights": "WEIGHTS"}',
    "a fraction": '{"epoch": 1.5, "weights": "WEIGHTS"}',
    "true": '{"epoch": true, "weights": "WEIGHTS"}',
    "text": '{"epoch": "1", "weights": "WEIGHTS"}',
    "no text": '{"epoch": 1, "weights": 1}',
    "a list": "[1]",
    "not UTF-8": b"\xff",
    "no weights": '{"epoch": 1, "weights": "other.weights.h5"}',
}


@pytest.fixture
def backup(tmp_path):
    """A callback whose folder holds a backup."""
    model = kp.wrap_pruning(mlp())
    model.compile(keras.optimizers.SGD(), "mse")
    model.optimizer.build(model.trainable_variables)
    callback = kp.AtomicBackup(tmp_path / "backup")
    callback.set_model(model)
    callback.write(2)
    return callback


def test_a_whole_one_is_restored(backup):
    assert backup.find() == 2


@pytest.mark.parametrize("text", INDEXES.values(), ids=INDEXES)
def test_damaged_indexes(text, backup):
    (weights,) = backup.folder.glob("*.weights.h5")
    text = text.replace("WEIGHTS", weights.name).encode() if isinstance(text, str) else text
    (backup.folder / "backup.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"begin again\. Received: backup_dir='.*backup'"):
        backup.find()


@pytest.mark.parametrize("at", [8, 40, 100, 600, 1000, 2000])
def test_damaged_weights(at, backup):
    """Whatever byte of the file's structure is wrong, it is restored or refused."""
    (weights,) = backup.folder.glob("*.weights.h5")
    content = bytearray(weights.read_bytes())
    content[at : at + 8] = b"\xff" * 8
    weights.write_bytes(content)
    said = "begin again. Received: backup_dir="
    try:
        backup.find()
    except ValueError as error:
        said = str(error)
    assert "begin again. Received: backup_dir=" in said
