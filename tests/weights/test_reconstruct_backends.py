"""The backends reconstruct alike: each beside TensorFlow, in a process of its own, and beside NumPy."""

import os
import subprocess
import sys

import numpy as np
import pytest
from keras import ops
from support import reconstruction_runs
from support.example_runs import NOT_INSTALLED
from support.zoo import BACKEND

import keras_prune as kp
from keras_prune.masking.masked_weights import find_masked
from keras_prune.reconstruction.masks.quadratic import Quadratic
from keras_prune.reconstruction.masks.removal import ROUNDS, remove
from keras_prune.selection.top_k import count_kept

pytestmark = pytest.mark.core

RUN = """
import sys
import numpy as np
from support.reconstruction_runs import make, results
np.savez(sys.argv[1], **results(make())[0])
"""


@pytest.mark.skipif(BACKEND == "tensorflow", reason="the others are compared with it")
def test_masks_and_weights_are_those_of_tensorflow(tmp_path):
    path = os.pathsep.join([NOT_INSTALLED, *(folder for folder in sys.path if folder)])
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": path}
    command = [sys.executable, "-c", RUN, str(tmp_path / "found.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found, _ = reconstruction_runs.results(reconstruction_runs.make())
    reconstruction_runs.check_same(dict(np.load(tmp_path / "found.npz")), found, 1e-4)


def patches(x):
    """What a window of 3 x 3 sees, with strides of 2 and "same" padding, of 6 x 6 places."""
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    rows = [padded[:, top : top + 3, left : left + 3].reshape(len(x), 1, -1) for top in (0, 2, 4) for left in (0, 2, 4)]
    return np.concatenate(rows, axis=1).reshape(-1, 36)


def lowest(sparsity):
    """The same fraction of what is left in each round, by the scores."""

    def choose(scores, kept, part):
        goal = sparsity if part >= 1 else 1 - (1 - sparsity) ** part
        order = np.argsort(np.where(kept, -scores, np.inf).reshape(-1), kind="stable")
        mask = np.zeros(kept.size, bool)
        mask[order[: count_kept(kept.size, goal)]] = True
        return mask.reshape(kept.shape)

    return choose


def solved(read, wanted, kernel, sparsity):
    """Masks, weights and bias of a layer, from its equations in NumPy."""
    centred, aimed = read - read.mean(axis=0), wanted - wanted.mean(axis=0)
    moments, products = (centred.T @ each / len(read) for each in (centred, aimed))
    problem = Quadratic(moments[None], products[None], np.square(aimed).mean(axis=0)[None]).damped(kernel[None], 1e-3)
    kept, weights = remove(problem, np.ones((1, *kernel.shape), bool), lowest(sparsity), kernel[None], ROUNDS)
    return kept[0], weights[0], wanted.mean(axis=0) - read.mean(axis=0) @ weights[0]


def test_masks_and_weights_are_those_of_numpy():
    model = reconstruction_runs.make()
    x = np.random.default_rng(1).normal(size=(256, 6, 6, 4)).astype("float32")
    pruned = kp.prune_weights(model, 0.6, reconstruct=x)
    read = patches(x.astype("float64"))
    original = read
    gamma, beta, mean, variance = (ops.convert_to_numpy(each).astype("float64") for each in model.layers[1].weights)
    for layer, found in zip((model.layers[each] for each in (0, 4, 5)), find_masked(pruned), strict=True):
        kernel, bias = (ops.convert_to_numpy(each).astype("float64") for each in layer.weights)
        kernel = kernel.reshape(-1, kernel.shape[-1])
        wanted = original @ kernel + bias
        kept, weights, offsets = solved(read, wanted, kernel, 0.6)
        np.testing.assert_array_equal(found.kept().reshape(kept.shape), kept)
        np.testing.assert_allclose(ops.convert_to_numpy(found.weight).reshape(kept.shape), weights, atol=1e-4)
        np.testing.assert_allclose(ops.convert_to_numpy(found.held.layer.bias), offsets, atol=1e-4)
        read, original = read @ weights + offsets, wanted
        if layer.name == "first":
            read, original = (
                ((each - mean) / np.sqrt(variance + model.layers[1].epsilon) * gamma + beta).reshape(len(x), -1)
                for each in (read, original)
            )
        read, original = np.maximum(read, 0), np.maximum(original, 0)
