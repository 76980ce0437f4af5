"""Damaged files of every kind that is read: a `ValueError` or a result, in little time and memory; nothing else."""

import collections
import json
import warnings

import keras
import numpy as np
import pytest
from support import fuzzing, mutations, reading_runs, untrusted_files
from support.zoo import mlp

import keras_prune as kp
from keras_prune.automation import ParetoFront
from keras_prune.automation.journal import Journal
from keras_prune.channels import ChannelPlan
from keras_prune.cli import main
from keras_prune.cli.data import load_data
from keras_prune.cli.models import load_model
from keras_prune.layers import LayerPlan
from keras_prune.measurement.measured_file import MeasuredFile

FEW = 12  # of each kind, in the suite


def model_of(path):
    load_model(str(path))


def compiled_model_of(path):
    load_model(str(path), compile=True)


def summary_of(path):
    assert main(["summary", str(path)]) in (0, 2)


def replayed(path):
    plan = ChannelPlan.load(path)
    kp.prune_channels(untrusted_files.small(), plan=plan)


def front_of(path):
    front = ParetoFront.load(path.parent)
    str(front), front.to_json(), front.front
    for each in front.candidates:
        assert each.path.parent == path.parent


def journal_of(path):
    str(Journal(path.parent, "mark", "acc", True).decisions)


def cache_of(path):
    MeasuredFile(path, "mark")


def data_of(path):
    load_data(str(path), None)


def wrapped(path):
    kp.prune_weights(mlp(), 0.5).save(path)


def in_keras_file(rng, name, content):
    if name.endswith(".json"):
        return mutations.of_json(rng, content)
    return mutations.of_hdf5(rng, content) if name.endswith(".h5") else mutations.of_bytes(rng, content)


def in_npz(rng, name, content):
    if name == "state.npy":
        text = mutations.of_json(rng, np.load(mutations.io.BytesIO(content)).tobytes())
        file = mutations.io.BytesIO()
        np.save(file, np.frombuffer(text.encode(), np.uint8))
        return file.getvalue()
    head = mutations.of_bytes(rng, content[:128])  # the header; the rest is numbers
    return head + content[128:]


def archive(of_member):
    return lambda rng, content: mutations.of_archive(rng, content, of_member)


def text(rng, content):
    return mutations.of_json(rng, content).encode()


MODELS = (model_of, compiled_model_of, summary_of)
# By kind: the name of the file, how it is damaged besides its bytes, and what reads it.
KINDS = {
    "keras": ("model.keras", archive(in_keras_file), MODELS),
    "masks": ("masks.keras", archive(in_keras_file), MODELS),
    "three": ("three.h5", mutations.of_hdf5, (*MODELS, kp.load_legacy)),
    "legacy": ("legacy.h5", mutations.of_hdf5, (*MODELS, kp.load_legacy)),
    "data": ("data.npz", archive(in_npz), (data_of,)),
    "backup": ("2.hold.npz", archive(in_npz), (reading_runs.resume,)),
    "plan": ("plan.json", text, (ChannelPlan.load, replayed)),
    "layers": ("layers.json", text, (LayerPlan.load,)),
    "cache": ("cache.json", text, (cache_of,)),
    "journal": ("journal.json", text, (front_of, journal_of)),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A sound file of each kind: its content by its name."""
    folder = tmp_path_factory.mktemp("sound")
    for kind in untrusted_files.KINDS:
        untrusted_files.model_file(folder, kind)
    wrapped(folder / "masks.keras")
    np.savez_compressed(folder / "data.npz", x=np.arange(24.0).reshape(4, 6), y=np.zeros(4, np.int64))
    kp.prune_channels(untrusted_files.small(), 0.5).plan.save(folder / "plan.json")
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(plan | {"removed": {**plan["removed"], "one": [0, 2]}}))
    LayerPlan("mark", ("a", "b")).save(folder / "layers.json")
    cache = MeasuredFile(folder / "cache.json", "mark")
    cache.values[("one", 0.5)] = 0.25
    cache.write()
    reading_runs.journal(folder)
    reading_runs.backup(folder)
    return {name: (folder / name).read_bytes() for name, *_ in KINDS.values()}


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.timeout(2 * max(fuzzing.MORE, 300))
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind, sound, tmp_path, monkeypatch, capsys):
    name, damage, readers = KINDS[kind]
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
    untrusted_files.small().save(elsewhere / "other.h5")
    monkeypatch.chdir(elsewhere)
    before, path, seen = fuzzing.contents(elsewhere), here / name, collections.Counter()
    for seed in fuzzing.seeds(FEW):
        rng = fuzzing.rng_of(seed)
        try:
            content = (mutations.of_bytes if rng.random() < 0.3 else damage)(rng, sound[name])
        except (ValueError, KeyError, RuntimeError, TypeError, OSError):  # HDF5 and JSON cannot hold everything
            continue
        path.write_bytes(content)
        for read in readers:
            what = f"{read.__name__} of {kind}, FUZZ_SEED={seed}"
            keras.backend.clear_session()
            with fuzzing.bounded(what), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                message = "Received: "
                try:
                    read(path)
                    seen["read"] += 1
                except ValueError as error:
                    message = str(error)
                    seen["refused"] += 1
                except Exception as error:
                    raise AssertionError(f"{what}: {error!r}") from error
            assert "Received: " in message, f"{what}: {message}"
            assert path.read_bytes() == content, what
            assert list(here.iterdir()) == [path], what
            assert fuzzing.contents(elsewhere) == before, what
        capsys.readouterr()
    with capsys.disabled():
        print(f"{kind}: {dict(seen)}" if fuzzing.MORE else "", end="\n" if fuzzing.MORE else "")
    assert seen["refused"] >= 1
