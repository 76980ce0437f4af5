"""Shared code of the examples: flags, data files, training, printed tables."""

import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from absl import app, flags, logging
from rich import box
from rich.console import Console
from rich.table import Table

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # `--helpshort` of a script lists what it defines by means of this file


class BadData(ValueError):
    """Error for a file that does not hold what an example needs."""


class Data(NamedTuple):
    """Training and test samples, and their labels, integers from 0."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def first(self, train: int, test: int) -> "Data":
        """The first samples of each part."""
        return Data(self.x_train[:train], self.y_train[:train], self.x_test[:test], self.y_test[:test])

    def hold_out(self) -> "Data":
        """The training set with a tenth of it, always the same, held out in place of the test set."""
        order = np.random.default_rng(0).permutation(len(self.x_train))
        test, train = np.split(order, [len(order) // 10])
        return Data(self.x_train[train], self.y_train[train], self.x_train[test], self.y_train[test])


def read(file: Any, shape: tuple[int | str, ...], kind: type[np.generic], classes: int | None = None) -> Data:
    """Reads an `.npz` file with the keys x_train, y_train, x_test, y_test.

    Args:
        file: Its path, or the open file.
        shape: Shape of a sample; an unknown size is a word: `("steps", "features")`.
        kind: Data type of the samples: `np.uint8`, or `np.floating` or `np.integer` for any of these.
        classes: Number of classes. Defaults to None: the highest label of y_train plus 1.

    Raises:
        BadData: The file holds something else.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, EOFError, TypeError, AttributeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise BadData(f"The data must be an .npz file of arrays. Received: {file}: {error}") from None
    if not set(Data._fields) <= set(arrays):
        raise BadData(f"The data must have the keys {', '.join(Data._fields)}. Received: {', '.join(arrays)}")
    sizes = arrays["x_train"].shape[1:]
    expected = tuple(sizes[i] if isinstance(size, str) and i < len(sizes) else size for i, size in enumerate(shape))
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if not np.issubdtype(x.dtype, kind) or x.shape[1:] != expected or not len(x):
            form = ", ".join(map(str, ("samples", *(shape if part == "train" else expected))))
            raise BadData(f"x_{part} must be {kind.__name__} of shape ({form}). Received: {x.dtype} of {x.shape}")
        if not np.isfinite(x).all():
            raise BadData(f"x_{part} must be finite. Received: {np.sum(~np.isfinite(x))} numbers that are not")
        top = classes - 1 if classes is not None else int(np.max(arrays["y_train"], initial=0))
        if y.shape not in ((len(x),), (len(x), 1)) or not np.isin(y, np.arange(top + 1)).all():
            raise BadData(f"y_{part} must be {len(x)} labels from 0 to {top}. Received: {y.dtype} of shape {y.shape}")
        arrays[f"y_{part}"] = y.reshape(-1).astype("int32")
    return Data(*(arrays[name] for name in Data._fields))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table of rows of a name and numbers."""
    table = Table(headings[0], box=box.SIMPLE_HEAD)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def check_flag(name: str, good: Callable[[Any], bool], rule: str) -> None:
    """Makes values of a flag an error that are not `good`."""

    def check(value: Any) -> bool:
        if not good(value):
            raise flags.ValidationError(f"must be {rule}. Received: {value}")  # absl names the flag
        return True

    flags.register_validator(name, check)


def define_flags(
    data: str,
    output: str,
    epochs: int,
    finetune_epochs: int,
    learning_rate: float,
    finetune_learning_rate: float,
    batch_size: int,
    seeds: int,
) -> flags.FlagValues:
    """Defines the shared flags of the examples, with these defaults, and returns all flags.

    Args:
        data: Description of the file `--data`, for its help.
        output: The default of `--output`; the other arguments are defaults too.
    """
    flags.DEFINE_integer("epochs", epochs, "Epochs of dense training, at least 1.")
    flags.DEFINE_integer(
        "finetune_epochs", finetune_epochs, "Epochs of fine-tuning: weights are pruned meanwhile, channels before."
    )
    flags.DEFINE_float("learning_rate", learning_rate, "Initial learning rate of dense training, with cosine decay.")
    flags.DEFINE_float(
        "finetune_learning_rate", finetune_learning_rate, "Initial learning rate of fine-tuning, with cosine decay."
    )
    flags.DEFINE_integer("batch_size", batch_size, "Samples in a training batch, at least 1.")
    flags.DEFINE_integer(
        "seed", 0, "Random seed of the first run: of the initial weights and the order of the samples."
    )
    flags.DEFINE_integer("seeds", seeds, "Number of runs, with consecutive random seeds.")
    flags.DEFINE_bool("control", True, "Fine-tune the dense model too, for as long as the pruned one.")
    flags.DEFINE_bool("holdout", False, "Test on a held-out tenth of the training set, to choose settings by.")
    flags.DEFINE_string("data", None, f"Path of an .npz file with x_train, y_train, x_test, y_test: {data}")
    flags.DEFINE_string("output", output, "Folder for the files that are written.")
    flags.DEFINE_bool("smoke", False, "Use few samples and small defaults for other flags, to run in seconds.")
    for name in ("epochs", "batch_size", "seeds"):
        check_flag(name, lambda value: value >= 1, "at least 1")
    for name in ("learning_rate", "finetune_learning_rate"):
        check_flag(name, lambda value: 0 < value < np.inf, "a positive number")
    check_flag("finetune_epochs", lambda value: value >= 0, "at least 0")
    check_flag("seed", lambda value: 0 <= value < 2**31, "in [0, 2**31)")
    check_flag("data", lambda value: value is None or Path(value).is_file(), "a file that exists")
    check_flag("output", lambda value: value and not Path(value).is_file(), "the path of a folder")
    return FLAGS


def run(main: Callable[[], None]) -> None:
    """Reads the flags and runs the example."""

    def start(arguments: list[str]) -> None:
        if len(arguments) > 1:
            raise app.UsageError(f"Only flags are allowed. Received: {' '.join(arguments[1:])}")
        logging.set_verbosity(logging.WARNING)  # otherwise absl shows the messages of TensorFlow's export
        if FLAGS.smoke:
            for name in {"epochs", "finetune_epochs", "seeds"} & set(FLAGS):
                FLAGS.set_default(name, 1)
            FLAGS.set_default("batch_size", 32)
        try:
            main()
        except BadData as error:
            sys.exit(f"{error}")

    app.run(start)


def load(shape: tuple[int | str, ...], kind: type[np.generic], synthetic: Callable[[], Data]) -> Data:
    """The data of `--data`, for `shape` and `kind` see `read`; without a file, synthetic data."""
    if FLAGS.data is not None:
        return read(FLAGS.data, shape, kind)
    print("No --data, so with synthetic data: THE NUMBERS BELOW MEAN NOTHING.", flush=True)
    return synthetic()


def prepare(data: Data) -> Data:
    """The data as `--holdout` and `--smoke` change them."""
    if FLAGS.holdout:
        data = data.hold_out()
    return data.first(train=640, test=200) if FLAGS.smoke else data


def seeds() -> Iterator[int]:
    """Sets the random seed of each run, and yields it."""
    for seed in range(FLAGS.seed, FLAGS.seed + FLAGS.seeds):
        keras.utils.set_random_seed(seed)
        yield seed


def count_steps(epochs: int, x: Any, y: np.ndarray | None = None) -> int:
    """Number of training steps of `train`."""
    return epochs * (len(x) if y is None else -(-len(x) // FLAGS.batch_size))


def train(
    model: keras.Model,
    epochs: int,
    learning_rate: float,
    x: Any,
    y: np.ndarray | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains a classifier with cosine decay of the learning rate.

    Args:
        model: The classifier; it is compiled here.
        epochs: Epochs; with 0 nothing happens.
        learning_rate: Initial learning rate, which decays to 0.
        x: Inputs, or a `keras.utils.PyDataset` of inputs and labels.
        y: Labels: classes, or a probability for each class. Defaults to None: `x` has them.
        callbacks: Callbacks of `fit`. Defaults to none.
    """
    if not epochs:
        return
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, count_steps(epochs, x, y))
    labels = x[0][1] if y is None else y
    loss = "sparse_categorical_crossentropy" if labels.ndim == 1 else "categorical_crossentropy"
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    batch_size = None if y is None else FLAGS.batch_size
    model.fit(x, y, batch_size=batch_size, epochs=epochs, callbacks=list(callbacks), verbose=2)
