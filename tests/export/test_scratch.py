"""What is left of a process that is killed: nothing runs on, and no temporary folder stays."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest

from tflite_export import scratch, subprocesses

pytestmark = [pytest.mark.core, pytest.mark.skipif(os.name == "nt", reason="signals")]

OWNER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests in the background ignores it
from tflite_export import scratch, subprocesses

worker = "import os, tempfile, time; tempfile.mkdtemp(); print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True)"
with scratch.temporary_folder() as folder:
    (folder / "large.bin").write_bytes(bytes(1000))
    subprocesses.execute([sys.executable, "-c", "import sys; " + worker + "; time.sleep(60)", sys.argv[1]], {})
"""


GENERATED = """
import os, sys, tempfile, types
for number in range(2):
    module = types.ModuleType(f"__autograph_generated_file{number}")
    module.__file__ = os.path.join(tempfile.gettempdir(), module.__name__ + ".py")
    open(module.__file__, "w").close()
    sys.modules[module.__name__] = module
"""


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "too late"
        time.sleep(0.02)


def runs(pid):
    """Whether a process runs: one that has ended may be listed until its parent asks for its exit code."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_nothing_is_left_of_a_killed_process(how, tmp_path):
    temporary, note = tmp_path / "temporary", tmp_path / "note"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    line = [sys.executable, "-c", OWNER, str(note)]
    with subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL) as owner:
        wait_for(lambda: note.exists() and note.read_text().strip())
        worker = int(note.read_text())
        assert runs(worker)
        assert len(list(temporary.iterdir())) == 2  # the folder, and that of the worker's own temporary files
        owner.send_signal(getattr(signal, how))
        assert owner.wait() == -getattr(signal, how)
    wait_for(lambda: not runs(worker))
    wait_for(lambda: not list(temporary.iterdir()))


def test_code_that_tensorflow_has_translated_goes_with_a_killed_process(tmp_path):
    temporary, note = tmp_path / "temporary", tmp_path / "note"
    temporary.mkdir()
    (temporary / "__autograph_generated_file9.py").write_text("of another process")
    line = [sys.executable, "-c", GENERATED + OWNER, str(note)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL) as owner:
        wait_for(lambda: note.exists() and note.read_text().strip())
        assert len(list(temporary.glob("__autograph*"))) == 3
        owner.kill()
    wait_for(lambda: [path.name for path in temporary.iterdir()] == ["__autograph_generated_file9.py"])


def test_translated_code_is_left_to_tensorflow_where_the_process_goes_on(tmp_path, monkeypatch):
    module = types.ModuleType("__autograph_generated_file0")
    module.__file__ = str(tmp_path / "code.py")
    (tmp_path / "code.py").write_text("")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with scratch.generated_files_watched():
        assert scratch._GUARD._process is not None
    assert (tmp_path / "code.py").exists()


def test_the_guard_is_there_only_while_there_is_something_to_guard(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    with scratch.temporary_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        guard = scratch._GUARD._process
        assert guard.poll() is None
        with scratch.temporary_folder() as other:
            assert other != folder
        assert scratch._GUARD._process is guard
        assert guard.poll() is None
    assert guard.returncode == 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), scratch.temporary_folder():
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_guard_that_somebody_ended_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    with scratch.temporary_folder():
        scratch._GUARD._process.kill()
        scratch._GUARD._process.wait()
        with scratch.temporary_folder() as folder:
            (folder / "file").write_text("")
    assert list(tmp_path.iterdir()) == []


def child(folder):
    assert pathlib.Path(folder).is_dir()
    with scratch.temporary_folder():
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork.*:RuntimeWarning")
def test_a_fork_leaves_the_folders_of_its_parent_alone():
    with scratch.temporary_folder() as folder:
        process = multiprocessing.get_context("fork").Process(target=child, args=(str(folder),))
        process.start()
        process.join(30)
        assert process.exitcode == 0
        assert folder.is_dir()
        assert scratch._GUARD._process.poll() is None


def test_an_interrupt_ends_the_subprocess(monkeypatch):
    """Ctrl-C in a notebook reaches this process alone."""
    started = []
    popen = subprocess.Popen

    class Interrupted(popen):
        def communicate(self, *words, **named):
            started.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocesses.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        subprocesses.execute([sys.executable, "-c", "import time; time.sleep(60)"], {})
    assert started[0].returncode == -signal.SIGKILL
