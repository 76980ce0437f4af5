"""How files are put in place: whole, never over a file that nobody offered, together or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from tflite_export import storage


def text(content):
    return lambda path: path.write_text(content)


@pytest.fixture(params=["links", "no links"])
def links(request, monkeypatch):
    """File systems with hard links and without (FAT, say)."""

    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_that_appears_is_kept(links, tmp_path):
    target = tmp_path / "a.txt"

    def save(path):
        path.write_text("new")
        target.write_text("precious")

    with pytest.raises(ValueError, match=r"A file has appeared .*overwrite=True\. Received: '.*a\.txt'"):
        storage.write_together([(target, save)], overwrite=False)
    assert content(tmp_path) == {"a.txt": "precious"}
    storage.write_together([(target, save)], overwrite=True)
    assert content(tmp_path) == {"a.txt": "new"}


def test_both_or_neither(links, tmp_path):
    first, second = tmp_path / "a.h", tmp_path / "a.c"

    def save(path):
        path.write_text("new source")
        second.write_text("precious")

    with pytest.raises(ValueError, match="has appeared"):
        storage.write_together([(first, text("new header")), (second, save)], overwrite=False)
    assert content(tmp_path) == {"a.c": "precious"}
    second.unlink()
    storage.write_together([(first, text("1")), (second, text("2"))], overwrite=False)
    assert content(tmp_path) == {"a.h": "1", "a.c": "2"}


@pytest.mark.parametrize("there", [True, False])
def test_what_was_replaced_comes_back(links, tmp_path, monkeypatch, there):
    first, second = tmp_path / "a.h", tmp_path / "a.c"
    if there:
        first.write_text("old")
    replace = os.replace

    def failing(source, target):
        if target == second:
            raise OSError(errno.EIO, "no such luck")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="no such luck"):
        storage.write_together([(first, text("new")), (second, text("new"))], overwrite=True)
    assert content(tmp_path) == ({"a.h": "old"} if there else {})


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    def save(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.write_together([(tmp_path / "a", text("1")), (tmp_path / "b", save)], overwrite=True)
    assert content(tmp_path) == {}


def test_files_are_on_the_disk_before_they_get_their_names(tmp_path, monkeypatch):
    target, seen = tmp_path / "a.txt", []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (seen.append(target.exists()), sync(descriptor)))
    storage.write(target, b"new", overwrite=False)
    assert seen == [False, True]  # the file, then the folder with its name


KILLED = """
import os, pathlib, signal, sys
from tflite_export import storage

def save(path):
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

storage.write_together([(pathlib.Path(sys.argv[1]), save)], overwrite=True)
"""


@pytest.fixture
def half_written(tmp_path):
    if os.name == "nt":
        pytest.skip("signals")
    target = tmp_path / "a[1].txt"
    subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    (left,) = tmp_path.iterdir()
    assert left.read_text() == "half"
    return target, left


def test_what_a_killed_process_left_is_removed_by_the_next_write(half_written):
    target, _ = half_written
    storage.write(target, b"new", overwrite=False)
    assert content(target.parent) == {target.name: "new"}


def test_files_of_others_are_left_alone(half_written):
    """Of another target, of a process that runs, of another machine, or of somebody's who names files like this."""
    target, left = half_written
    process, place, rest = left.name.split("-")
    other = left.with_name(f"{process}-{place}-00000000.tmp.other.txt")
    running = left.with_name(f".{os.getpid()}-{place}-{rest}")
    elsewhere = left.with_name(f"{process}-{'0' * 6}-{rest}")
    theirs = left.with_name(f".draft.tmp.{target.name}")
    for path in (other, running, elsewhere, theirs):
        path.write_text("precious")
    storage.write(target, b"new", overwrite=False)
    assert set(content(target.parent)) == {target.name, other.name, running.name, elsewhere.name, theirs.name}


def test_a_write_inside_a_write_keeps_the_outer_one(tmp_path):
    target = tmp_path / "a.txt"

    def save(path):
        path.write_text("outer")
        storage.write(target, b"inner", overwrite=True)

    storage.write_together([(target, save)], overwrite=True)
    assert content(tmp_path) == {"a.txt": "outer"}
