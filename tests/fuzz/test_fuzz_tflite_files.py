"""Damaged `.tflite` files: whatever they hold, this process goes on, in time, with an error of the documented class.

In the suite the same files each time; `make fuzz` tries others, and more: see FUZZ_EXAMPLES.
"""

import collections
import os
import time

import keras
import numpy as np
import pytest
from support import tflite_files as made

import tflite_export

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow converts"),
]
MORE = int(os.environ.get("FUZZ_EXAMPLES", "0"))
TIMEOUT, MEMORY = 10, 2_000_000_000
SLOWEST = 60  # seconds for all that is tried on one file


def inspected(path, folder):
    str(tflite_export.inspect(path))


def packed(path, folder):
    tflite_export.pack(path, folder / "a.tflite.xz", overwrite=True)
    tflite_export.unpack(folder / "a.tflite.xz", folder / "a.tflite", overwrite=True)


def as_c_array(path, folder):
    tflite_export.to_c_array(path, folder / "a.cc", overwrite=True)


def resolved(path, folder):
    tflite_export.micro_resolver(path)


def predicted(path, folder):
    tflite_export.predict(path, made.images(1, seed=2), timeout=TIMEOUT, memory_limit=MEMORY)


TASKS = (inspected, packed, as_c_array, resolved, predicted)


@pytest.mark.slow
@pytest.mark.timeout(20 * max(MORE, 60))
def test_damaged_files(tflite_files, tmp_path):
    contents = [path.read_bytes() for path in tflite_files[1].values()]
    path, seen = tmp_path / "damaged.tflite", collections.Counter()
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if MORE else 5
    print(f"seed {seed}")
    for kind, content in made.mutations(contents, MORE or 40, seed):
        path.write_bytes(content)
        start = time.monotonic()
        for task in TASKS:
            try:
                task(path, tmp_path)
            except ValueError as error:
                assert "Received: " in str(error), (kind, task)  # noqa: PT017 -- some of the files are whole
                seen[f"{task.__name__}: refused"] += 1
            else:
                seen[f"{task.__name__}: done"] += 1
        assert time.monotonic() - start < SLOWEST, kind
        hidden = [each.name for each in tmp_path.iterdir() if each.name.startswith(".")]
        assert hidden == []
    print(dict(seen))
    for task in TASKS:
        assert seen[f"{task.__name__}: refused"] > 0
    assert seen["inspected: done"] > 0
