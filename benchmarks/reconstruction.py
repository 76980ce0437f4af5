"""What `prune_weights(reconstruct=x)` costs and leaves, beside a plain sweep in the same process.

    KERAS_BACKEND=tensorflow python benchmarks/reconstruction.py [--samples 256] [--sparsity 0.9] [--rounds 3]

The peer is the sweep of SparseGPT as it is usually written (Frantar and Alistarh 2023): all rows that a layer reads are
held, their second moments are inverted once, and a loop over the inputs prunes and updates the weights, a block of them
at a time. Both prune the same convolutional network of random weights on the same images, layer by layer, with inputs
from the pruned prefix. Times are those of the processors, which a busy machine hardly changes; the error is that of the
network's outputs before the softmax, as a fraction of their variance.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

import keras_prune as kp

BLOCK = 128


def network(rng: np.random.Generator) -> tuple[keras.Model, Callable[[int], np.ndarray]]:
    """A network with random weights, and a function that makes images whose neighbouring pixels are alike."""
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape, scale=np.prod(weight.shape[:-1]) ** -0.5))

    def images(count: int) -> np.ndarray:
        coarse = rng.normal(size=(count, 7, 7, 1))
        return np.asarray(ops.convert_to_numpy(ops.image.resize(coarse, (28, 28))), "float32")

    return model, images


def plain_sweep(model: keras.Model, x: np.ndarray, sparsity: float) -> keras.Model:
    """The peer: a copy of the model whose kernels are pruned."""
    pruned = keras.models.clone_model(model)
    pruned.set_weights(model.get_weights())
    for layer in pruned.layers:
        if not layer.weights:
            continue
        given = keras.Model(pruned.inputs, layer.input).predict(x, verbose=0, batch_size=64)
        if isinstance(layer, layers.Conv2D):
            patches = ops.image.extract_patches(given, layer.kernel_size, padding=layer.padding)
            given = ops.convert_to_numpy(patches)
        rows = given.reshape(-1, given.shape[-1]).astype("float64")
        kernel = ops.convert_to_numpy(layer.kernel)
        moments = rows.T @ rows / len(rows)
        layer.kernel.assign(_swept(kernel.reshape(len(moments), -1), moments, sparsity).reshape(kernel.shape))
    return pruned


def _swept(weights: np.ndarray, moments: np.ndarray, sparsity: float) -> np.ndarray:
    weights, inputs = weights.astype("float64"), len(weights)
    moments = moments + 0.01 * np.mean(np.diag(moments)) * np.eye(inputs)
    upper = np.linalg.cholesky(np.linalg.inv(moments)).T
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        scores = np.square(weights[start:stop] / np.diag(upper)[start:stop, None])
        cut = np.quantile(scores, sparsity)
        errors = np.zeros(scores.shape)
        for row in range(start, stop):
            kept = np.where(scores[row - start] <= cut, 0.0, weights[row])
            errors[row - start] = (weights[row] - kept) / upper[row, row]
            weights[row] = kept
            weights[row + 1 : stop] -= np.outer(upper[row, row + 1 : stop], errors[row - start])
        weights[stop:] -= upper[start:stop, stop:].T @ errors
    return weights


def error(model: keras.Model, pruned: keras.Model, x: np.ndarray) -> float:
    wanted, found = (each.predict(x, verbose=0) for each in (model, pruned))
    return float(np.square(found - wanted).mean() / np.square(wanted - wanted.mean(axis=0)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Reconstruction beside a plain sweep.")
    parser.add_argument("--samples", type=int, default=256, help="images (default: 256)")
    parser.add_argument("--sparsity", type=float, default=0.9, help="of each kernel (default: 0.9)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: 3)")
    args = parser.parse_args()
    model, images = network(np.random.default_rng(0))
    x, fresh = images(args.samples), images(256)
    ways: dict[str, Callable[[], Any]] = {
        "plain sweep": lambda: plain_sweep(model, x, args.sparsity),
        "keras_prune": lambda: kp.prune_weights(model, args.sparsity, reconstruct=x),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    errors = {"not refitted": error(model, kp.prune_weights(model, args.sparsity), fresh)}
    for number in range(args.rounds + 1):
        for name, prune in ways.items():
            before = time.process_time()
            pruned = prune()
            if number:  # much is loaded in the first
                seconds[name].append(time.process_time() - before)
            errors[name] = error(model, pruned, fresh)
    print(f"{args.sparsity:.0%} of each kernel pruned, on {args.samples} images")
    for name, value in errors.items():
        took = f"{statistics.median(seconds[name]):.2f} s" if name in seconds else "-"
        print(f"{name:14} processor time {took:>8}   error {value:.4f}")
    ratios = [peer / own for peer, own in zip(seconds["plain sweep"], seconds["keras_prune"], strict=True)]
    print(f"plain sweep / keras_prune: {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})")


if __name__ == "__main__":
    main()
