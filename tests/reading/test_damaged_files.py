"""Plans, journals, caches, backups and data that are damaged: one `ValueError` that names the file, or exit code 2."""

import json
import pathlib
import zipfile

import numpy as np
import pytest
from support import reading_runs
from support.zoo import mlp

import keras_prune as kp
from keras_prune.automation import ParetoFront
from keras_prune.automation.journal import Journal
from keras_prune.channels import ChannelPlan
from keras_prune.cli.data import load_data
from keras_prune.layers import LayerPlan
from keras_prune.measurement.measured_file import MeasuredFile
from keras_prune.reading.npz_files import NpzReader

pytestmark = pytest.mark.core

POSITIONS = ([float("inf")], [float("nan")], [10**30], [1.9], [True], [-1], "012", None, {"1": 2}, [[1]])


@pytest.mark.parametrize("positions", POSITIONS, ids=repr)
def test_positions_in_a_plan_of_channels(positions, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"fingerprint": "x", "removed": {"dense": positions}}))
    with pytest.raises(ValueError, match=r"holds no channel plan. Received: "):
        ChannelPlan.load(path)
    with pytest.raises((ValueError, TypeError)):
        ChannelPlan("x", {"dense": positions})


def test_positions_may_be_those_of_numpy():
    assert ChannelPlan("x", {"dense": np.arange(2)}).removed == {"dense": (0, 1)}


TEXTS = {
    "nested": "[" * 100_000,
    "nested objects": '{"a":' * 100_000,
    "not UTF-8": b'{"fingerprint": "\xff"}',
    "a list": "[]",
    "a number": "1" * 5000,
    "cut": '{"fingerprint": "x", "removed',
    "names": '{"fingerprint": 1, "removed": {}, "removed_layers": [], "measured": {}}',
    "types": '{"fingerprint": "x", "removed": [], "removed_layers": [1], "measured": {"a": {"0.5": "1"}}}',
    "ratios": '{"fingerprint": "x", "removed": 1, "removed_layers": {}, "measured": {"a": {"nan": 1}}}',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_json_files(text, tmp_path):
    path = tmp_path / "journal.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    for read in (
        ChannelPlan.load,
        LayerPlan.load,
        lambda path: MeasuredFile(path, "x"),
        lambda path: ParetoFront.load(path.parent),
        lambda path: Journal(path.parent, "x", "accuracy", True),
    ):
        with pytest.raises(ValueError, match="Received: "):
            read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"name": "dense"', '"name": 1.0'),
        ('"name": "dense"', '"name": "../dense"'),
        ('"metric": "acc"', '"metric": []'),
        ('"higher_is_better": true', '"higher_is_better": "no"'),
        ('"dense.tflite"', '"/elsewhere/model.tflite"'),
        ('"dense.tflite"', '"../dense.tflite"'),
        ('"bytes": 100', '"bytes": true'),
        ('"bytes": 100', f'"bytes": {10**30}'),
        ('"keras_metric"', '"other"'),
        ('"macs": 5', '"macs": 5, "more": 1'),
    ],
)
def test_journals(old, new, tmp_path):
    path = reading_runs.journal(tmp_path)
    front = ParetoFront.load(tmp_path)
    assert (front.candidates[0].path, front.higher_is_better) == (tmp_path / "dense.tflite", True)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=r"holds no search of `autoprune`. Received: "):
        ParetoFront.load(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be read. Received: "):
        Journal(tmp_path, "mark", "acc", True)


def test_a_journal_with_a_metric_that_is_no_number(tmp_path):
    path = reading_runs.journal(tmp_path)
    path.write_text(path.read_text().replace("0.9", "NaN"))
    assert np.isnan(ParetoFront.load(tmp_path).candidates[0].metric)


def test_a_candidate_without_its_file(tmp_path):
    reading_runs.journal(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be loaded .*Received: '.*dense.keras'"):
        ParetoFront.load(tmp_path).candidates[0].load()
    (tmp_path / "dense.keras").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"cannot be loaded .*Received: '.*dense.keras'"):
        ParetoFront.load(tmp_path).candidates[0].load()


@pytest.fixture(scope="module")
def backup(tmp_path_factory):
    return reading_runs.backup(tmp_path_factory.mktemp("backup"))


STATES = {
    "held": {"_held": "0.5"},
    "epochs": {"_epochs_here": 1.5},
    "done": {"_done": 1},
    "decisions": {"decisions": []},
    "decision": {"decisions": [{"epoch": 1}]},
}


@pytest.mark.parametrize("damage", ["cut", "empty", "a byte changed", "no state", "huge", *STATES])
def test_backups(damage, backup, tmp_path):
    content = backup.read_bytes()
    path = tmp_path / backup.name
    if damage in ("cut", "empty", "a byte changed"):
        place = content.index(b"\x93NUMPY") + 200  # in an array
        changed = content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
        path.write_bytes({"cut": content[:place], "empty": b"", "a byte changed": changed}[damage])
    else:
        with np.load(backup) as file:
            arrays = dict(file)
        state = json.loads(arrays["state"].tobytes())
        if damage == "no state":
            del arrays["state"]
        elif damage == "huge":
            arrays["state"] = np.zeros(300_000_000, np.uint8)
        else:
            arrays["state"] = np.frombuffer(json.dumps(state | STATES[damage]).encode(), np.uint8)
        np.savez_compressed(path, **arrays)
    with pytest.raises(ValueError, match=r"backup is damaged: empty the folder .*Received: "):
        reading_runs.resume(path)


def test_a_backup_as_it_was_written(backup):
    decisions, state, best = reading_runs.resume(backup)
    assert len(decisions) == 3
    assert state["baseline"] is not None
    assert len(best.weights) == len(kp.wrap_pruning(mlp()).weights)


def damaged_npz(path, damage):
    if damage == "zeros":  # a megabyte that would be a gigabyte
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": (25_000_000, 10)}
            )
            for _ in range(400):
                file.write(bytes(1_000_000))
        return
    np.savez_compressed(path, x=np.random.default_rng(0).random((40, 12), "float32"))
    if damage == "deflated":
        content = bytearray(path.read_bytes())
        content[200:260] = bytes(each ^ 255 for each in content[200:260])
        path.write_bytes(content)
        return
    with zipfile.ZipFile(path) as archive:
        content = archive.read("x.npy")
    changed = {
        "shape": content.replace(b"(40, 12)", b"(40,99)"),
        "huge shape": content.replace(b"(40, 12), }     ", b"(4000000000,12), }"[:20].ljust(16)),
        "negative": content.replace(b"(40, 12)", b"(-4, 12)"),
        "type": content.replace(b"'<f4'", b"'|O8'"),
        "header": content.replace(b"{'descr'", b"{{{{{{{{"),
        "short": content[:100],
    }
    method = zipfile.ZIP_LZMA if damage == "method" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", changed.get(damage, content))


@pytest.mark.parametrize(
    "damage", ["zeros", "deflated", "shape", "huge shape", "negative", "type", "header", "short", "method"]
)
def test_arrays(damage, tmp_path):
    path = tmp_path / "data.npz"
    damaged_npz(path, damage)
    with pytest.raises(ValueError, match="Received: "):
        load_data(str(path), None)


@pytest.mark.parametrize("dtype", ["f2", ">f4", "u1", "?", "c8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_numpy_reads_them(dtype, order, tmp_path):
    array = np.asarray(np.random.default_rng(0).random((3, 4, 2)) * 9, dtype, order=order)
    np.savez_compressed(tmp_path / "data.npz", x=array, empty=np.zeros((0, 3)), one=np.float32(2))
    with NpzReader(pathlib.Path(tmp_path / "data.npz")) as file:
        found = {name: file.read(name) for name in file.names}
    with np.load(tmp_path / "data.npz") as file:
        for name in file.files:
            np.testing.assert_array_equal(found[name], file[name])
            assert found[name].dtype == file[name].dtype
