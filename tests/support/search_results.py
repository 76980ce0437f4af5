"""What `autoprune` would return, made by hand."""

import pathlib

import keras

from keras_prune.automation import AutopruneResult, Candidate, Decision, Decisions, ParetoFront


def candidate(name, metric, size):
    path = pathlib.Path("found") / f"{name}.tflite"
    return Candidate(name, metric, metric, size, size, 250, 250, 1000, 0.5, path, "kept")


def search_result(names=("dense", "weights-1"), sizes=(1000, 800), metrics=(0.9, 0.88)):
    """A result with these candidates, of which the last is the best."""
    found = tuple(map(candidate, names, metrics, sizes))
    decisions = tuple(
        Decision(name, 0.5, metric, 0.5, "accepted", "", 1.0) for name, metric in zip(names, metrics, strict=True)
    )
    front = ParetoFront(found, "accuracy", True)
    return AutopruneResult(
        keras.Sequential([]), found[-1], front, Decisions("accuracy", decisions), True, "No more.", 0.9, 0.5
    )
