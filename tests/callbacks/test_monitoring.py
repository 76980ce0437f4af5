"""Callbacks that watch pruning: what TensorBoard reads back, and which models are saved."""

import io
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.zoo import BACKEND, cnn, mlp

import keras_prune as kp
from keras_prune.callbacks.board_events import grey_png
from keras_prune.masking.mask_image import mask_image
from keras_prune.masking.masked_weights import find_masked

pytestmark = pytest.mark.core
if BACKEND == "jax":
    keras.config.disable_traceback_filtering()


def train(model, callbacks, epochs=3, x_shape=(12,), **kwargs):
    """Two steps an epoch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, *x_shape)).astype("float32"), rng.integers(0, 4, 32)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model.fit(x, y, epochs=epochs, batch_size=16, verbose=0, callbacks=callbacks, **kwargs)


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "pruning"), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


def pixels(png):
    plt = pytest.importorskip("matplotlib.pyplot")
    image = plt.imread(io.BytesIO(png))
    return image if image.ndim == 2 else image[..., 0]


def test_the_board_tells_sparsity_and_threshold_of_each_epoch(tmp_path):
    model = kp.wrap_pruning(mlp())
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            _ = self.model  # on JAX, brings the masks up to date
            masks = {each.path: each.kept() for each in find_masked(model)}
            values = {each.path: keras.ops.convert_to_numpy(each.weight.value) for each in find_masked(model)}
            seen.append((masks, values))

    schedule = kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.8, end_step=5), frequency=1)
    train(model, [schedule, Look(), kp.PruningBoard(tmp_path)])
    events = read(tmp_path)
    for path in ("hidden0/kernel", "hidden1/kernel", "output/kernel"):
        sparsity, threshold = events.Scalars(f"sparsity/{path}"), events.Scalars(f"threshold/{path}")
        assert [each.step for each in sparsity] == [0, 1, 2]
        np.testing.assert_allclose([each.value for each in sparsity], [1 - masks[path].mean() for masks, _ in seen])
        expected = [np.abs(values[path][masks[path]]).min() for masks, values in seen]
        np.testing.assert_allclose([each.value for each in threshold], expected, rtol=1e-6)
    together = [1 - sum(m.sum() for m in masks.values()) / sum(m.size for m in masks.values()) for masks, _ in seen]
    np.testing.assert_allclose([each.value for each in events.Scalars("sparsity/all")], together, rtol=1e-6)
    assert together[0] < together[2]
    smallest = [min(np.abs(values[p][masks[p]]).min() for p in masks) for masks, values in seen]
    np.testing.assert_allclose([each.value for each in events.Scalars("threshold/all")], smallest, rtol=1e-6)


def test_the_board_shows_masks(tmp_path):
    model = kp.prune_weights(cnn(), 0.7)
    board = kp.PruningBoard(tmp_path)
    board.set_model(model)
    board.write(7)
    board.close()
    events = read(tmp_path)
    for weight in find_masked(model):
        (image,) = events.Images(f"masks/{weight.path}")
        kept = weight.kept()
        matrix = kept.reshape(-1, kept.shape[-1]).astype(float)  # window and inputs, then outputs, as in most layers
        height, width = (max(1, 64 // size) for size in matrix.shape)
        assert image.step == 7
        np.testing.assert_array_equal(pixels(image.encoded_image_string), matrix.repeat(height, 0).repeat(width, 1))


def test_the_board_writes_each_n_steps_and_at_the_end(tmp_path):
    model = kp.wrap_pruning(mlp())
    schedule = kp.PruningSchedule(kp.ConstantSparsity(0.5), frequency=1)
    train(model, [schedule, kp.PruningBoard(tmp_path, 3, images=1)], epochs=4)  # 8 steps
    events = read(tmp_path)
    assert [each.step for each in events.Scalars("sparsity/all")] == [3, 6, 8]
    assert events.Tags()["images"] == ["masks/hidden0/kernel"]


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no steps_per_execution on torch")
@pytest.mark.filterwarnings("ignore:Nothing was pruned")
def test_the_board_counts_steps_and_not_calls(tmp_path):
    model = kp.wrap_pruning(mlp())
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(48, 12)).astype("float32"), rng.integers(0, 4, 48)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), steps_per_execution=2)
    board = kp.PruningBoard(tmp_path, 3, images=False)
    model.fit(x, y, epochs=2, batch_size=8, verbose=0, callbacks=[board])  # 12 steps, two at a time
    assert [each.step for each in read(tmp_path).Scalars("sparsity/all")] == [4, 6, 10, 12]


@pytest.mark.skipif(BACKEND != "jax", reason="Keras itself imports TensorFlow where it is the backend")
def test_the_board_does_not_import_tensorflow(tmp_path):
    code = (
        "import sys; from keras_prune.callbacks.board_events import EventFile;"
        f"file = EventFile({str(tmp_path)!r}); file.write(0, {{'a': 1.0}}, {{}}); file.close();"
        "print('tensorflow' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout == (
        "False\n"
    )


@pytest.mark.parametrize("given", [{"update_freq": 0}, {"update_freq": "batch"}, {"update_freq": True}, {"images": -1}])
def test_the_board_refuses_what_means_nothing(tmp_path, given):
    with pytest.raises(ValueError, match="Received"):
        kp.PruningBoard(tmp_path, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("callback", [kp.PruningBoard, kp.SparseCheckpoint])
def test_a_model_without_masks_is_refused(tmp_path, callback):
    with pytest.raises(ValueError, match="wrap_pruning"):
        train(mlp(), [callback(tmp_path / "a.keras")])


def test_a_large_mask_becomes_a_small_image_of_fractions(rng):
    kept = rng.random((600, 30)) < 0.3
    image = mask_image(kept, limit=100)
    assert image.pixels.shape == (100, 30)
    np.testing.assert_allclose(image.pixels, kept.reshape(100, 6, 30).mean(axis=1), rtol=1e-6)
    uneven = mask_image(kept, limit=7).pixels
    sizes = np.diff([*np.linspace(0, 600, 7, endpoint=False).astype(int), 600])
    across = np.diff([*np.linspace(0, 30, 7, endpoint=False).astype(int), 30])
    assert uneven.shape == (7, 7)
    assert np.isclose(sizes @ uneven @ across, kept.sum())


def test_the_rows_of_a_convolution_are_its_window_and_inputs(rng):
    kept = rng.random((3, 2, 5, 4)) < 0.5
    image = mask_image(kept)
    assert image.windows == 6
    assert image.matrix == (30, 4)
    np.testing.assert_array_equal(image.pixels, kept.reshape(30, 4))


def test_png_files_hold_the_image(rng):
    image = rng.random((5, 9))
    np.testing.assert_allclose(pixels(grey_png(image)), image, atol=1 / 255)


class Fake(keras.callbacks.Callback):
    """Gives each epoch the metric that a test wants it to have."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def pruning():
    return kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.75, end_step=5), frequency=1)


@pytest.mark.parametrize("given", [{}, {"sparsity": 0.75}])
def test_a_dense_epoch_is_not_saved_though_it_is_better(tmp_path, given):
    """The schedule ends in the third epoch; the first two are better, and of the others the fourth is best."""
    model, path = kp.wrap_pruning(mlp()), tmp_path / "best.keras"
    kept = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept[epoch] = [np.array(each) for each in self.model.get_weights()]

    accuracy = Fake("val_accuracy", [0.99, 0.95, 0.5, 0.7, 0.6])
    saved = kp.SparseCheckpoint(path, monitor="val_accuracy", mode="max", **given)
    train(model, [pruning(), accuracy, Keep(), saved], epochs=5)
    loaded = keras.saving.load_model(path)
    assert saved.best == 0.7
    assert np.isclose(kp.summary(loaded).prunable_sparsity, 0.75, atol=0.01)
    for one, other in zip(loaded.get_weights(), kept[3], strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_sparse_epochs_may_be_saved_and_the_file_named_by_sparsity(tmp_path):
    path = tmp_path / "{epoch}-{sparsity:.2f}.weights.h5"
    saved = kp.SparseCheckpoint(path, save_best_only=False, save_weights_only=True)
    train(kp.wrap_pruning(mlp()), [saved, pruning()], epochs=4)  # also when it is listed first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3-0.75.weights.h5", "4-0.75.weights.h5"]


def test_the_target_of_layers_with_their_own_is_that_of_the_schedule(tmp_path):
    """All together they are far below 0.75, and stay so."""
    own = kp.PruningSchedule(
        kp.PolynomialDecay(final_sparsity=0.75, end_step=3), targets={"hidden0": None, "hidden1": 0.3}, frequency=1
    )
    saved = kp.SparseCheckpoint(tmp_path / "{epoch}.keras", save_best_only=False)
    train(kp.wrap_pruning(mlp()), [own, saved])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.keras", "3.keras"]


def test_nothing_saved_is_said(tmp_path):
    saved = kp.SparseCheckpoint(tmp_path / "best.keras", 0.9, monitor="loss")
    with pytest.warns(UserWarning, match="saved nothing"):
        train(kp.wrap_pruning(mlp()), [pruning(), saved])
    assert not list(tmp_path.iterdir())


def test_an_unknown_target_is_refused_before_the_first_epoch(tmp_path):
    epochs = []
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    for others in ([], [kp.PruningSchedule(lambda step: 0.5)], [kp.PruningSchedule(selection=kp.Threshold(0.1))]):
        with pytest.raises(ValueError, match="does not know the target"):
            train(kp.wrap_pruning(mlp()), [*others, count, kp.SparseCheckpoint(tmp_path / "best.keras")])
    assert epochs == []
    with pytest.raises(ValueError, match="sparsity"):
        kp.SparseCheckpoint(tmp_path / "best.keras", 1.0)
