"""Kills at random moments: files are old or new and whole, runs are resumed, nothing runs on, nothing is left.

In the suite each program is killed once, always at the same moments; `make fuzz` kills more often: see FUZZ_EXAMPLES.
"""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import keras
import pytest
from support.example_runs import environment

import tflite_export

MORE = int(os.environ.get("FUZZ_EXAMPLES", "0"))
KILLS = max(1, MORE // 100)  # of each program
LONG = ("c array", "autoprune")  # minutes: with `make fuzz` only
LONGEST = 300  # seconds
LINUX = pathlib.Path("/proc/self/environ").exists()

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow" or not LINUX, reason="TensorFlow converts; /proc"),
    pytest.mark.timeout(LONGEST * (KILLS + 1)),
]

SETUP = """
import sys
import keras, numpy as np
import keras_prune as kp, tflite_export
keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.normal(size=(64, 12)).astype("float32")
y = rng.integers(0, 4, 64)
dense = keras.layers.Dense
model = keras.Sequential([keras.Input((12,)), dense(16, activation="relu"), dense(4, activation="softmax")])
def compiled(model):
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
print("go", flush=True)
"""
PROGRAMS = {
    "fit": """
pruning = kp.PruningSchedule(kp.PolynomialDecay(final_sparsity=0.8, end_step=150), frequency=5)
backup = kp.AtomicBackup("backup", save_freq=1)
compiled(kp.wrap_pruning(model)).fit(x, y, batch_size=8, epochs=20, verbose=0, callbacks=[pruning, backup])
""",
    "hold": """
hold = kp.HoldAccuracy("val_accuracy", 0.5, step=0.2, resolution=0.1, backup="hold")
callbacks = [hold, kp.AtomicBackup("backup")]
model = compiled(kp.wrap_pruning(model))
model.fit(x, y, batch_size=8, epochs=40, verbose=0, validation_data=(x, y), callbacks=callbacks)
assert model.get_compile_config() and any(each.decision == "held" for each in hold.decisions)
""",
    "export": """
compiled(model)
for number in range(2):
    tflite_export.export(model, "model.tflite", overwrite=True)
""",
    "c array": """
compiled(model)
tflite_export.export(model, "model.tflite", overwrite=True)
for number in range(300):
    tflite_export.to_c_array("model.tflite", "model_data.cc", overwrite=True)
""",
    "autoprune": """
compiled(model).fit(x, y, epochs=2, verbose=0)
settings = dict(step=0.6, resolution=0.9, max_drop=0.5, quantize=None, fine_tune_epochs=1, verbose=0)
kp.autoprune(model, (x, y), (x, y), output="search", methods=["weights"], **settings)
""",
}


class Program:
    def __init__(self, name, folder):
        self.work, self.temporary = folder / "work", folder / "temporary"
        for each in (self.work, self.temporary):
            each.mkdir()
        self.line = [sys.executable, "-c", SETUP + PROGRAMS[name] + "\nprint('end', flush=True)"]
        self.env = environment() | {"TMPDIR": str(self.temporary)}

    def run(self, seconds=None, number=signal.SIGKILL):
        """Runs it, kills it so many seconds after its imports, and returns whether it came to its end."""
        options = {"cwd": self.work, "env": self.env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(self.line, text=True, **options) as process:
            try:
                assert process.stdout.readline() == "go\n", process.stderr.read()
                if seconds is not None:
                    time.sleep(seconds)
                    process.send_signal(number)
                output, errors = process.communicate(timeout=LONGEST)
            finally:
                process.kill()
        assert process.returncode in (0, -number), errors
        assert output == "end\n" or process.returncode != 0, errors
        return output == "end\n"  # perhaps killed after that, while Python ended

    def running(self):
        """What runs still of all that the program has started: its folder is in their environment."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.temporary).encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
        return found

    def left(self):
        # AutoGraph, TensorFlow's, removes its own when Python ends.
        return [path for path in self.temporary.iterdir() if not path.name.startswith("__autograph_generated_file")]


def check(program, name, kills):
    end = time.monotonic() + 15
    while (program.running() or program.left()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not program.running()
    assert not program.left()
    names = {path.name for path in program.work.iterdir()}
    if "model.tflite" in names:
        content = (program.work / "model.tflite").read_bytes()
        assert content == b"old" or tflite_export.inspect(program.work / "model.tflite").bytes == len(content)
    # A kill in the milliseconds in which a file is written leaves it under its temporary name.
    hidden = {each for each in names if ".tmp." in each}
    assert len(hidden) <= kills * (2 if name == "c array" else 1)
    if name == "export":
        assert names - hidden == {"model.tflite"}
    if {"model_data.h", "model_data.cc"} <= names:
        assert (program.work / "model_data.cc").read_text().endswith("_len = sizeof(model_data);\n")
        assert (program.work / "model_data.h").read_text().endswith("#endif /* MODEL_DATA_H_ */\n")


@pytest.mark.parametrize("name", [name for name in PROGRAMS if MORE or name not in LONG])
def test_kills(name, tmp_path):
    chance = random.Random(f"{name} {MORE}")
    program = Program(name, tmp_path)
    (program.work / "model.tflite").write_bytes(b"old")
    for kill in range(KILLS):
        number = (signal.SIGKILL, signal.SIGTERM)[(kill + len(name)) % 2]
        ended = program.run(chance.uniform(0.5, 6), number)
        check(program, name, kill + 1)
        if ended and name == "autoprune":
            (program.work / "search").rename(tmp_path / f"search-{kill}")
    assert program.run()
    check(program, name, KILLS)
    assert not (program.work / "backup").exists()
    assert not (program.work / "hold").exists()
