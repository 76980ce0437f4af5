"""Masks and the step survive files, checkpoints, and a run that is killed."""

import copy
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import textwrap
import zipfile

import keras
import numpy as np
import pytest
from support.zoo import BACKEND, Block, batch, cnn, nested, regression, subclassed, two_in_two_out, value
from support.zoo import mlp as make_mlp

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.selection.top_k import count_kept

pytestmark = pytest.mark.core


def blocks():
    inputs = keras.Input((5, 6))
    return keras.Model(inputs, keras.layers.Dense(2)(Block()(inputs)))


def masks(model):
    return [weight.kept() for weight in find_masked(model)]


def assert_same(model, other):
    assert len(find_masked(model)) == len(find_masked(other)) > 0
    for old, new in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(value(new), value(old))
    for old, new in zip(masks(model), masks(other), strict=True):
        np.testing.assert_array_equal(new, old)


def trained(model, **compile_arguments):
    """8 steps along a schedule of 12."""
    model.compile("adam", "mse", **compile_arguments)
    x, y = regression(model)
    with pytest.warns(UserWarning, match="ended at step 8"):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[schedule()])
    return model


def schedule(frequency=3):
    return kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.8, end_step=12), frequency=frequency)


@pytest.mark.parametrize("build", [make_mlp, cnn, nested, two_in_two_out, blocks])
def test_a_pruned_model_survives_a_keras_file(build, tmp_path):
    model = kp.prune_weights(build(), 0.6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, kp.masking.PrunedModel)
    assert type(loaded) is type(model)
    assert_same(model, loaded)
    x = batch(model)
    for old, new in zip(*(keras.tree.flatten(m.predict(x, verbose=0)) for m in (model, loaded)), strict=True):
        np.testing.assert_array_equal(new, old)
    stripped = kp.strip_pruning(loaded)
    assert kp.summary(stripped).prunable_sparsity == pytest.approx(kp.summary(model).prunable_sparsity)


def test_training_goes_on_from_a_keras_file(tmp_path):
    model = trained(kp.wrap_pruning(make_mlp()))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(value(loaded.optimizer.iterations)) == 8
    assert_same(model, loaded)
    x, y = regression(loaded)
    loaded.fit(x, y, batch_size=8, verbose=0, callbacks=[schedule()])
    for weight in find_masked(loaded):
        assert weight.kept().sum() == count_kept(weight.size, 0.8)


def test_a_loaded_model_holds_its_masks_without_a_callback(tmp_path):
    model = kp.prune_weights(make_mlp(), 0.6)
    model.compile("adam", "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, y = regression(loaded)
    loaded.fit(x, y, batch_size=8, verbose=0)
    for old, weight in zip(masks(model), find_masked(loaded), strict=True):
        np.testing.assert_array_equal(weight.kept(), old)
        assert (value(weight.weight)[~old] == 0).all()


def test_a_stripped_file_needs_no_keras_prune(tmp_path):
    stripped = kp.strip_pruning(kp.prune_weights(cnn(), 0.5))
    stripped.save(tmp_path / "plain.keras")
    with zipfile.ZipFile(tmp_path / "plain.keras") as archive:
        assert "keras_prune" not in archive.read("config.json").decode()
    x = batch(stripped)
    np.save(tmp_path / "x.npy", x)
    script = (
        "import sys, keras, numpy as np;"
        f"m = keras.saving.load_model({str(tmp_path / 'plain.keras')!r});"
        f"np.save({str(tmp_path / 'y.npy')!r}, m.predict(np.load({str(tmp_path / 'x.npy')!r}), verbose=0));"
        "assert 'keras_prune' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), stripped.predict(x, verbose=0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("build", [make_mlp, nested, subclassed])
def test_pruned_models_are_pickled_and_copied(build, tmp_path):
    model = kp.prune_weights(build(), 0.6)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    for other in (pickle.loads((tmp_path / "model.pickle").read_bytes()), copy.deepcopy(model)):
        assert type(other) is type(model)
        assert_same(model, other)
    if build is make_mlp:  # elsewhere it needs no imports
        code = f"import pickle; m = pickle.load(open({str(tmp_path / 'model.pickle')!r}, 'rb')); print(m.train_step)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
        assert "PrunedModel.train_step" in done.stdout, done.stderr


def test_weights_files(tmp_path):
    model = kp.prune_weights(cnn(), 0.6)
    model.save_weights(tmp_path / "model.weights.h5")
    other = kp.wrap_pruning(cnn())
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(model, other)


def test_subclassed_models_survive_files(tmp_path):
    model = kp.prune_weights(subclassed(), 0.6, targets={"last": None})
    model.compile("adam", "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, kp.masking.PrunedModel)
    assert_same(model, loaded)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 6)).astype("float32"), rng.normal(size=(32, 3)).astype("float32")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    loaded.fit(x, y, verbose=0)
    for weight in find_masked(loaded):
        assert (value(weight.weight)[~weight.kept()] == 0).all()
    model.save_weights(tmp_path / "model.weights.h5")
    other = kp.wrap_pruning(subclassed())
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(model, other)


@pytest.mark.parametrize("suffix", ["keras", "weights.h5"])
def test_every_checkpoint_is_pruned(suffix, tmp_path):
    model = kp.wrap_pruning(make_mlp())
    model.compile("adam", "mse")
    x, y = regression(model)
    path = str(tmp_path / ("{epoch:02d}-{batch:02d}." + suffix))
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_freq=3, save_weights_only=suffix != "keras", verbose=0)
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[checkpoint, schedule()])
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    sparsities = []
    for file in files:
        if suffix == "keras":
            loaded = keras.saving.load_model(file)
        else:
            loaded = kp.wrap_pruning(make_mlp())
            loaded.load_weights(file)
        for weight in find_masked(loaded):
            assert (value(weight.weight)[~weight.kept()] == 0).all()
        sparsities.append(kp.summary(loaded).prunable_sparsity)
    assert sparsities == sorted(sparsities)
    assert sparsities[-1] == pytest.approx(kp.summary(model).prunable_sparsity)
    assert sparsities[1] > 0.2


RUN = """
    import json, os, signal, sys
    import keras, numpy as np
    import keras_prune as kp

    folder, kill_at = sys.argv[1], int(sys.argv[2])
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(4)])
    model = kp.wrap_pruning(model)
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 12)).astype("float32"), rng.normal(size=(64, 4)).astype("float32")

    class Kill(keras.callbacks.Callback):
        seen = {}
        def on_train_batch_end(self, batch, logs=None):
            step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
            self.seen[step] = round(float(logs["sparsity"]), 6)
            if step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    schedule = kp.PolynomialDecay(final_sparsity=0.8, begin_step=2, end_step=21)
    backup = keras.callbacks.BackupAndRestore(folder, save_freq=3)
    callbacks = [kp.PruningSchedule(schedule, frequency=4), backup, Kill()]
    model.fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=callbacks)
    print(json.dumps({"seen": Kill.seen, "sparsity": kp.summary(model).prunable_sparsity}))
"""


def environment():
    root = str(pathlib.Path(kp.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def test_a_killed_and_resumed_run_follows_the_same_schedule(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(RUN))

    def run(folder, kill_at):
        command = [sys.executable, str(script), str(tmp_path / folder), str(kill_at)]
        return subprocess.run(command, capture_output=True, text=True, env=environment())

    killed = run("broken", 13)  # in the middle of the second epoch
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed, unbroken = run("broken", -1), run("whole", -1)
    assert resumed.returncode == unbroken.returncode == 0, resumed.stderr + unbroken.stderr
    resumed, unbroken = (json.loads(r.stdout.splitlines()[-1]) for r in (resumed, unbroken))
    steps = set(resumed["seen"]) & set(unbroken["seen"])
    assert len(steps) >= 16
    assert min(map(int, resumed["seen"])) == 13  # restored at step 12
    for step in steps:
        assert resumed["seen"][step] == unbroken["seen"][step]
    assert resumed["sparsity"] == unbroken["sparsity"] == pytest.approx(0.8, abs=0.01)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="one backend is enough: the class is made the same way on all")
def test_loading_does_not_depend_on_which_class_was_pruned_last(tmp_path):
    functional, sequential = kp.prune_weights(nested(), 0.5), kp.prune_weights(make_mlp(), 0.5)
    functional.save(tmp_path / "functional.keras")
    sequential.save(tmp_path / "sequential.keras")
    kp.wrap_pruning(subclassed())
    assert_same(functional, keras.saving.load_model(tmp_path / "functional.keras"))
    assert_same(sequential, keras.saving.load_model(tmp_path / "sequential.keras"))


@pytest.mark.parametrize("file", ["model.weights.h5", "model.weights.json", "model.keras"])
def test_weights_of_other_masked_layers_are_refused(tmp_path, file):
    def wrapped(names):
        dense = [keras.layers.Dense(8, name=name) for name in "abc"]
        model = keras.Sequential([keras.Input((8,)), *dense[:1], keras.layers.Dropout(0.1), *dense[1:]])
        return kp.prune_weights(kp.wrap_pruning(model, layers=list(names)), 0.5, targets=dict.fromkeys(names, 0.5))

    for chosen, others in (("a", "b"), ("ab", "bc"), ("ac", "ab")):
        saved = wrapped(chosen)
        if file == "model.keras":
            saved.save(tmp_path / file)
        else:
            saved.save_weights(tmp_path / file, max_shard_size=1 if file.endswith("json") else None)
        with pytest.raises(ValueError, match=r"masks of other layers[\s\S]*Received: masks of prunable layer"):
            wrapped(others).load_weights(tmp_path / file)
        same = wrapped(chosen)
        same.load_weights(tmp_path / file)
        for loaded, expected in zip(same.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_array_equal(loaded, expected)


def test_weights_of_a_part_load_whatever_model_it_is_in(tmp_path):
    part = kp.prune_weights(make_mlp(), 0.5)
    inputs = keras.Input((12,))
    around = kp.wrap_pruning(keras.Model(inputs, keras.layers.Dense(12, name="first")(inputs)))
    whole = keras.Sequential([keras.Input((12,)), *around.layers[1:], part])
    part.save_weights(tmp_path / "part.weights.h5")
    kp.wrap_pruning(make_mlp()).load_weights(tmp_path / "part.weights.h5")
    whole.save_weights(tmp_path / "whole.weights.h5")
    whole.load_weights(tmp_path / "whole.weights.h5")
    subclassed_model = kp.prune_weights(subclassed(), 0.5)
    subclassed_model.save_weights(tmp_path / "sub.weights.h5")
    other = subclassed()
    other.load_weights(tmp_path / "sub.weights.h5")  # which has masks besides
    np.testing.assert_array_equal(value(other.first.kernel), value(subclassed_model.first.kernel))
