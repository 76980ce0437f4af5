"""`SparseCheckpoint` puts its files in place whole: a failure or a kill while one is written leaves the one before."""

import pathlib

import keras
import numpy as np
import pytest
from support.zoo import mlp, regression

import keras_prune as kp

pytestmark = pytest.mark.core


def masked():
    model = kp.prune_weights(mlp(), 0.5)
    model.compile("sgd", "mse")
    return model


def fitted(model, callback, epochs=2):
    model.fit(*regression(model), epochs=epochs, verbose=0, callbacks=[callback])


KINDS = {
    "save": {"filepath": "best.keras"},
    "save_weights": {"filepath": "best.weights.h5", "save_weights_only": True},
}


@pytest.fixture(params=KINDS)
def checkpoint(request, tmp_path):
    arguments = KINDS[request.param]
    path = tmp_path / arguments["filepath"]
    made = kp.SparseCheckpoint(**{**arguments, "filepath": path}, sparsity=0.5, monitor="loss", save_best_only=False)
    return request.param, path, made


def test_a_failure_leaves_the_file_before(checkpoint, monkeypatch):
    method, path, callback = checkpoint
    model = masked()
    path.write_bytes(b"old")
    seen = []

    def half(self, filepath, **kwargs):
        pathlib.Path(filepath).write_bytes(b"half")
        seen.append((pathlib.Path(filepath).suffix, path.read_bytes()))
        raise OSError("no space left on device")

    monkeypatch.setattr(type(model), method, half)
    with pytest.raises(OSError, match="no space left"):
        fitted(model, callback)
    assert seen == [(path.suffix, b"old")]
    assert path.read_bytes() == b"old"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert callback.model is model


def test_the_file_is_that_of_the_last_epoch(checkpoint):
    method, path, callback = checkpoint
    model = masked()
    fitted(model, callback)
    if method == "save":
        loaded = keras.saving.load_model(path)
        assert loaded.optimizer is not None
    else:
        loaded = masked()
        loaded.load_weights(path)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_only_the_best_is_written(tmp_path, monkeypatch):
    model, written = masked(), []
    callback = kp.SparseCheckpoint(tmp_path / "sub" / "{epoch}.keras", 0.5, monitor="loss")
    save = type(model).save
    monkeypatch.setattr(type(model), "save", lambda self, path, **kwargs: (written.append(path), save(self, path)))
    callback.monitor_op, callback.best = np.less, 1e-9
    fitted(model, callback)
    assert written == []
    callback.best = 1e9
    fitted(model, callback, epochs=1)
    assert [each.name for each in (tmp_path / "sub").iterdir()] == ["1.keras"]


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "best.keras").mkdir()
    with pytest.raises(OSError, match=r"best\.keras"):
        fitted(masked(), kp.SparseCheckpoint(tmp_path / "best.keras", 0.5, monitor="loss"))
    assert [each.name for each in tmp_path.iterdir()] == ["best.keras"]


def test_addresses_of_other_machines_are_left_to_keras(tmp_path, monkeypatch):
    model, written = masked(), []
    monkeypatch.setattr(type(model), "save", lambda self, path, **kwargs: written.append(path))
    monkeypatch.setattr("keras.src.utils.file_utils.exists", lambda path: True)
    fitted(model, kp.SparseCheckpoint("memory://bucket/best.keras", 0.5, monitor="loss"), epochs=1)
    assert written == ["memory://bucket/best.keras"]
