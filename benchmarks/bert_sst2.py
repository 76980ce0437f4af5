"""A BERT classifier of keras_hub: half of its heads and of its feed-forward units removed, and fine-tuned.

    python benchmarks/bert_sst2.py --data=sst2.npz      # x_train, y_train, x_test, y_test: token ids, 0 where padded
    python benchmarks/bert_sst2.py --smoke              # synthetic sentences, in a minute

The classifier is small and trained here from scratch; it needs keras_hub (extra `hub`). It is pruned as it is:
`prune_channels` writes its custom layers out as a graph first. Beside it, as a control, the dense model has as many
epochs more at the same rate. Epochs were chosen on held-out training data; test data are only used for the table. Then
the small model gets masks (half of its weights), and both are saved, loaded and exported.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "examples"))

import tempfile
import time
from typing import Any

import helpers
import keras
import numpy as np
from absl import app, flags

import keras_prune as kp
import tflite_export

FLAGS = flags.FLAGS
flags.DEFINE_string("data", "", "File of SST-2 token ids; none: synthetic sentences.")
flags.DEFINE_list("seeds", ["0", "1"], "Seeds, one run each.")
flags.DEFINE_integer("epochs", 3, "Epochs of training.")
flags.DEFINE_integer("fine_tune_epochs", 2, "Epochs of fine-tuning, and of the control.")
flags.DEFINE_integer("samples", 30_000, "Sentences of the training data.")
flags.DEFINE_bool("smoke", False, "Synthetic sentences, one seed, one epoch.")

LENGTH, HEADINGS = 48, ("seed", "model", "parameters", "test accuracy", "seconds")
# Of each block half of the heads, and half of the units between its two dense layers; its stream is kept.
RATIOS = {"*self_attention*:num_heads": 0.5, "*feedforward_intermediate_dense": 0.5}


def load() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], int]:
    """Sentences and labels of the training and test data, and the size of the vocabulary."""
    if FLAGS.data and not FLAGS.smoke:
        with np.load(FLAGS.data, allow_pickle=False) as found:
            x, y, x_test, y_test = (found[key] for key in ("x_train", "y_train", "x_test", "y_test"))
        chosen = np.random.default_rng(0).permutation(len(x))[: FLAGS.samples]
        return (x[chosen], y[chosen]), (x_test, y_test), 10_000
    random = np.random.default_rng(0)
    tokens = random.integers(1, 50, (1200, LENGTH))
    labels = (np.sum(tokens < 10, axis=1) > np.sum(tokens > 40, axis=1)).astype("uint8")
    return (tokens[:800], labels[:800]), (tokens[800:], labels[800:]), 50


def inputs(tokens: np.ndarray) -> dict[str, np.ndarray]:
    """What a backbone of keras_hub takes."""
    ids = tokens.astype("int32")
    return {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": (ids != 0).astype("int32")}


def classifier(vocabulary: int) -> keras.Model:
    """A small BERT, not trained."""
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=vocabulary,
        num_layers=2,
        num_heads=4,
        hidden_dim=64,
        intermediate_dim=256,
        max_sequence_length=LENGTH,
        dropout=0.1,
    )
    return keras_hub.models.BertTextClassifier(backbone, num_classes=2, dropout=0.1)


def train(model: keras.Model, x: Any, y: Any, epochs: int, rate: float) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(inputs(x), y, epochs=epochs, batch_size=64, verbose=2)


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(np.argmax(model.predict(inputs(x), batch_size=256, verbose=0), -1) == y))


def run(seed: int, folder: Path) -> list[tuple[str, ...]]:
    (x, y), test, vocabulary = load()
    keras.utils.set_random_seed(seed)
    epochs, more = (1, 1) if FLAGS.smoke else (FLAGS.epochs, FLAGS.fine_tune_epochs)
    rows: list[tuple[str, ...]] = []
    begun = time.time()

    def add(name: str, model: keras.Model) -> None:
        nonlocal begun
        figures = f"{model.count_params():,}", f"{100 * accuracy(model, *test):.2f}%", f"{time.time() - begun:.0f}"
        rows.append((str(seed), name, *figures))
        begun = time.time()

    dense = classifier(vocabulary)
    train(dense, x, y, epochs, 5e-4)
    add("dense", dense)
    flat = kp.expand(dense, sizes=dict.fromkeys(inputs(x[:1]), LENGTH))
    result = kp.prune_channels(flat, ratios=RATIOS)
    print(result.report)
    small = result.model
    add("half of heads and units", small)
    train(small, x, y, more, 2e-4)
    add("fine-tuned", small)
    train(dense, x, y, more, 2e-4)
    add("dense, as many epochs more", dense)
    masked = kp.wrap_pruning(small)
    masked.compile(keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    steps = len(x) // 64
    schedule = kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.5, begin_step=0, end_step=max(1, steps // 2)))
    masked.fit(inputs(x), y, epochs=1, batch_size=64, verbose=2, callbacks=[schedule])
    sparse = kp.strip_pruning(masked)
    add("and half of the weights", sparse)
    sparse.save(folder / "sparse.keras")
    loaded = keras.models.load_model(folder / "sparse.keras")
    gap = float(np.abs(loaded.predict(inputs(test[0]), verbose=0) - sparse.predict(inputs(test[0]), verbose=0)).max())
    report = tflite_export.export(sparse, folder / "sparse.tflite")
    print(f"Saved and loaded: the outputs differ by at most {gap:.1e}.")
    print(report)
    return rows


def main(_: list[str]) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in FLAGS.seeds[:1] if FLAGS.smoke else FLAGS.seeds:
            rows += run(int(seed), Path(folder))
            for path in Path(folder).iterdir():
                path.unlink()
    helpers.print_table(HEADINGS, rows)


if __name__ == "__main__":
    app.run(main)
