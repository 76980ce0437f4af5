"""Keras is imported without the logs of TensorFlow where this process is the command line.

A program that imports this package keeps its logs, and so does a command whose user has set their level.
"""

import itertools
import os
import pathlib
import sys

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def is_command(words: list[str]) -> bool:
    """Whether a process was started as `keras-prune` or `python -m keras_prune`."""
    if ("-m", "keras_prune") in itertools.pairwise(words):
        return True
    return any(pathlib.PurePath(word).stem == "keras-prune" for word in words[:2])


def _import_keras() -> None:
    os.environ[_LEVEL] = "2"  # errors only
    # Some lines come whatever the level is. TensorFlow writes them past Python, so the file itself is turned away.
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        return
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if is_command(sys.orig_argv) and _LEVEL not in os.environ:
    _import_keras()
