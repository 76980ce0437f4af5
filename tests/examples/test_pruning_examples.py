"""The examples that prune channels, and those that prune either these or weights, run as a user runs them."""

import io
import re
import types
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from support.example_runs import digits, import_example, run_example

import tflite_export

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the examples end with an export, which needs TensorFlow"
)


@pytest.fixture(scope="module")
def helpers():
    return import_example("helpers")


def images(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), "uint8"), rng.integers(0, 10, (count, 1), "uint8")


def spectrograms(count, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 9, 5)).astype("float16"), rng.integers(0, 4, count, "uint8")


def sentences(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 99, (count, 12), "uint16"), rng.integers(0, 2, count, "uint8")


KEYS = "x_train", "y_train", "x_test", "y_test"
CHANNELS = "mnist_channels", "any_model"  # which prune nothing else
FILES = ["dense.keras", "dense.tflite", "pruned.keras", "pruned.tflite"]
SAMPLES = {
    "resnet8_cifar10": images,
    "any_model": images,
    "mnist_channels": digits,
    "spoken_digits": spectrograms,
    "transformer_sst2": sentences,
}


def write_data(path, make):
    np.savez(path, **dict(zip(KEYS, (*make(150, 1), *make(40, 2)), strict=True)))
    return path


def smoke(tmp_path, script, *flags):
    """The printed text of a run on data of seconds."""
    data = write_data(tmp_path / "data.npz", SAMPLES[script])
    output = f"--output={tmp_path / 'new/output'}"
    done = run_example(tmp_path, "--smoke", f"--data={data}", output, *flags, script=script)
    assert done.returncode == 0, done.stderr
    assert "synthetic" not in done.stdout
    assert [path.name for path in (tmp_path / "cwd").iterdir()] == []
    return done.stdout


def comparison(printed):
    """The rows of the printed table: accuracy, parameters, non-zeros; of a file its bytes, gzip and latency."""
    rows = re.findall(r"^ +((?:dense|pruned)(?:, fine-tuned)?)  +(\S+)%((?:  +\S+){5}) *$", printed, re.M)
    return {
        name: [float(cell.replace(",", "")) for cell in (accuracy, *cells.split()) if cell != "-"]
        for name, accuracy, cells in rows
    }


def check_files(folder, data, script, table):
    """What was written is what the table says: sizes, and the accuracy of the files themselves."""
    assert sorted(path.name for path in folder.iterdir()) == FILES
    with np.load(data) as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    if script == "mnist_channels":
        x = x[..., None] / np.float32(255)
    x = x.astype("int32" if script == "transformer_sst2" else "float32")
    for row in list(table)[-2:]:
        accuracy, parameters, nonzeros, size, gzipped, latency = table[row]
        name = row.partition(",")[0]
        arrays = weights_of(folder / f"{name}.keras")
        assert sum(map(np.size, arrays)) == parameters
        assert sum(map(np.count_nonzero, arrays)) == nonzeros
        assert (folder / f"{name}.tflite").stat().st_size == size > gzipped
        assert latency > 0
        labels = tflite_export.predict(folder / f"{name}.tflite", x).argmax(-1)
        assert np.mean(labels == y.reshape(-1)) * 100 == pytest.approx(accuracy, abs=2.6)  # one sample of forty


@pytest.mark.slow
@pytest.mark.parametrize("script", SAMPLES)
def test_channels_go_and_files_are_written(script, tmp_path):
    printed = smoke(tmp_path, script, *([] if script in CHANNELS else ["--prune=channels"]))
    table = comparison(printed)
    assert list(table) == ["dense", "pruned", "pruned, fine-tuned", "dense, fine-tuned"]
    assert table["dense"][1] == table["dense, fine-tuned"][1]
    assert table["pruned"][1] == table["pruned, fine-tuned"][1] < table["dense"][1]
    assert len(table["dense"]) == len(table["pruned"]) == 3  # models that go on are no files
    check_files(tmp_path / "new/output", tmp_path / "data.npz", script, table)
    before, after = (int(count.replace(",", "")) for count in re.search(r"MACs: (\S+) -> (\S+)", printed).groups())
    if script == "resnet8_cifar10":
        assert 0.47 * before < after <= 0.5 * before
    else:
        assert after < 0.5 * before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "flags", "sparsity", "never"),  # never: parameters that are not pruned, such as biases
    [
        ("resnet8_cifar10", (), 0.8, 1306),
        ("spoken_digits", ("--cell=lstm", "--sparsity=0.5", "--nocontrol"), 0.5, 256 + 4 + 11),
        ("transformer_sst2", (), 0.9, 3 * 128 + 12 * 64 + 4 * 64 + 128 + 64 + 2),
    ],
)
def test_weights_go_and_files_are_written(script, flags, sparsity, never, tmp_path):
    printed = smoke(tmp_path, script, *flags)
    table = comparison(printed)
    control = "--nocontrol" not in flags
    assert list(table) == ["dense", "pruned, fine-tuned", *(["dense, fine-tuned"] if control else [])]
    *_, dense = (row for name, row in table.items() if "dense" in name)
    pruned = table["pruned, fine-tuned"]
    assert pruned[1] == dense[1]
    counts = re.search(r"Prunable weights +(\S+) +(\S+)", printed).groups()
    prunable, zeros = (int(count.replace(",", "")) for count in counts)
    assert prunable == dense[1] - never
    assert zeros == pytest.approx(sparsity * prunable, abs=10)  # rounded in each of the arrays
    assert pruned[2] == pytest.approx(dense[1] - zeros, abs=20)  # a bias may be zero
    assert pruned[3] == pytest.approx(dense[3], rel=0.01)
    assert pruned[4] < 0.8 * dense[4]
    check_files(tmp_path / "new/output", tmp_path / "data.npz", script, table)


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        ("spoken_digits", "--sparsity=1", r"--sparsity=1\.0: must be in \[0, 1\)\. Received: 1\.0"),
        ("spoken_digits", "--ratio=0.3", "--ratio needs --prune=channels. Received: .* --ratio=0.3"),
        ("resnet8_cifar10", "--finetune_epochs=0", "--prune=weights needs epochs to prune in. Received: "),
    ],
)
def test_bad_flags_are_named(script, flags, message, tmp_path):
    done = run_example(tmp_path, *flags.split(), script=script)
    assert done.returncode == 1
    assert re.search(message, done.stderr + done.stdout)
    assert "Traceback" not in done.stderr


def weights_of(path):
    """The arrays of weights in a `.keras` file, whatever classes it needs, without the states of training."""
    found = []
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        return [item[()] for item in found if not re.search("seed_generator|optimizer", item.name)]


@pytest.mark.slow
def test_a_given_model_is_pruned_as_it_is(tmp_path):
    given = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(10)]
    )
    given.save(tmp_path / "given.keras")
    data = write_data(tmp_path / "data.npz", images)
    files = f"--data={data}", f"--model={tmp_path / 'given.keras'}", f"--output={tmp_path / 'output'}"
    flags = "--prune=channels", "--finetune_epochs=0", "--nocontrol", "--macs=0.3"
    done = run_example(tmp_path, *files, *flags, script="resnet8_cifar10")
    assert done.returncode == 0, done.stderr
    assert "Epoch" not in done.stdout
    x, y = images(40, 2)
    accuracy = np.mean(given.predict(x.astype("float32"), verbose=0).argmax(-1) == y[:, 0])
    table = comparison(done.stdout)
    assert table["dense"][:2] == [pytest.approx(100 * accuracy), given.count_params()]
    assert table["pruned"][:3] == table["pruned, fine-tuned"][:3]
    assert table["pruned"][1] == 28 * 2 + 30
    assert (tmp_path / "output/dense.tflite").stat().st_size == table["dense"][3]
    assert f"MACs: {30 * 30 * 27 * 8 + 80:,} -> {30 * 30 * 27 * 2 + 20:,}" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "flag", "content", "message"),
    [
        ("spoken_digits", "data", b"text", r"The data must be an \.npz file of arrays\. Received: "),
        ("resnet8_cifar10", "model", b"text", r"--model must be a \.keras file\. Received: "),
        ("transformer_sst2", "data", None, "--data=.*missing: must be a file that exists. Received: "),
    ],
)
def test_a_bad_file_ends_a_structured_example_without_a_trace(script, flag, content, message, tmp_path):
    path = tmp_path / "missing"
    if content is not None:
        path = tmp_path / "file"
        path.write_bytes(content)
    data = [] if flag == "data" else [f"--data={write_data(tmp_path / 'data.npz', SAMPLES[script])}"]
    done = run_example(tmp_path, *data, f"--{flag}={path}", f"--output={tmp_path / 'output'}", script=script)
    assert done.returncode == 1
    assert re.search(message, done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "output").exists()


SEQUENCES = dict(zip(KEYS, (*spectrograms(9, 1), *spectrograms(5, 2)), strict=True)) | {"y_train": np.arange(9) % 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"x_test": SEQUENCES["x_test"].astype("float64")}, None),
        ({"y_train": np.arange(9)[:, None] % 4}, None),
        ({"x_train": np.zeros((9, 3))}, r"x_train must be .* \(samples, steps, features\). Received: float64 of"),
        ({"x_train": np.zeros((9, 9, 5), int)}, r"x_train must be floating of .* Received: int64 of \(9, 9, 5\)"),
        ({"x_test": np.zeros((5, 9, 4))}, r"x_test must be .* \(samples, 9, 5\). Received: .* of \(5, 9, 4\)"),
        ({"x_test": np.full((5, 9, 5), np.nan)}, "x_test must be finite. Received: 225 numbers that are not"),
        ({"y_test": np.full(5, 4)}, "y_test must be 5 labels from 0 to 3. Received: "),
        ({"y_train": np.full(9, -1)}, "y_train must be 9 labels from 0 to "),
    ],
)
def test_sequences_are_read_or_refused(helpers, tmp_path, change, message):
    path = tmp_path / "data.npz"
    np.savez(path, **SEQUENCES | change)
    if message is None:
        data = helpers.read(path, ("steps", "features"), np.floating)
        np.testing.assert_array_equal(data.x_test, SEQUENCES["x_test"])
        assert [y.shape for y in (data.y_train, data.y_test)] == [(9,), (5,)]
        return
    with pytest.raises(helpers.BadData, match=message):
        helpers.read(path, ("steps", "features"), np.floating)


def test_without_a_file_it_is_said_that_data_are_synthetic(helpers, monkeypatch, capsys):
    monkeypatch.setattr(helpers, "FLAGS", types.SimpleNamespace(data=None))
    assert helpers.load(("steps",), np.integer, lambda: "synthetic") == "synthetic"
    assert "THE NUMBERS BELOW MEAN NOTHING" in capsys.readouterr().out


def test_what_is_held_out_is_not_trained_on_and_is_no_test_sample(helpers):
    x = np.arange(45)
    data = helpers.Data(x[:40], -x[:40], x[40:], -x[40:]).hold_out()
    assert len(data.x_test) == 4
    assert sorted([*data.x_train, *data.x_test]) == list(range(40))
    for samples, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        np.testing.assert_array_equal(labels, -samples)


def test_images_vary_and_keep_their_labels():
    augmented = import_example("augmented")
    x = np.arange(1, 10 * 5 * 4 + 1, dtype="float32").reshape(10, 5, 4, 1)
    batches = augmented.Augmented(x, np.arange(10), 4, 0, shift=1, mirror=True)
    views = {}  # of each image, by brute force
    for label, image in enumerate(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))):
        shifted = [image[row : row + 5, column : column + 4] for row in range(3) for column in range(3)]
        views[label] = {view.tobytes() for view in (*shifted, *(view[:, ::-1] for view in shifted))}
    seen = {label: set() for label in range(10)}
    for _ in range(60):
        epoch = [batches[index] for index in range(len(batches))]
        assert [len(labels) for _, labels in epoch] == [4, 4, 2]
        assert sorted(np.concatenate([labels for _, labels in epoch])) == list(range(10))
        for images, labels in epoch:
            for image, label in zip(images, labels, strict=True):
                seen[label].add(image.tobytes())
        batches.on_epoch_end()
    assert all(seen[label] <= views[label] for label in range(10))
    assert sum(map(len, seen.values())) > 0.9 * 10 * 18  # of 18 views each one is missed at 3%
