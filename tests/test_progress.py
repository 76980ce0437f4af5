"""Progress of long work: a bar in a terminal, lines where its commands would be kept with the output."""

import io
import re
import sys
import types

import pytest

from keras_prune.reporting import progress

pytestmark = pytest.mark.core


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(monkeypatch, out, count=200):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stdout", out)
    assert list(progress.track(range(count), count, "Working")) == list(range(count))
    monkeypatch.undo()
    return out.getvalue()


def test_a_terminal_gets_a_bar(monkeypatch):
    text = run(monkeypatch, Terminal())
    assert text.startswith("Working\n")
    assert "\r" in text or "\b" in text


def test_others_get_some_lines(monkeypatch):
    text = run(monkeypatch, io.StringIO())
    assert re.search("[\x1b\b\r]", text) is None
    assert 0 < len(text.splitlines()) < 40
    assert all(line.startswith("Working: ") for line in text.splitlines())


def test_a_kernel_gets_lines(monkeypatch):
    """What is printed there is saved with the notebook, where a terminal's commands would be letters."""
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert re.search("[\x1b\b\r]", run(monkeypatch, io.StringIO())) is None


def test_idle_gets_lines(monkeypatch):
    """Its output says that it is a terminal, and shows the commands of a terminal as letters."""
    window = type("StdOutputFile", (Terminal,), {"__module__": "idlelib.run"})()
    assert re.search("[\x1b\b\r]", run(monkeypatch, window)) is None


def test_there_may_be_no_output_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    assert list(progress.track("ab", 2, "Working")) == ["a", "b"]
    monkeypatch.undo()


def test_work_of_a_moment_is_silent(capsys):
    assert list(progress.track("abc", 3, "Working")) == ["a", "b", "c"]
    assert list(progress.track([], 0, "Nothing")) == []
    assert capsys.readouterr().out == ""


def test_lines_are_few_and_up_to_date(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    for _ in progress.track(range(3600), 3600, "Working"):
        now += 1.0
    counts = [int(re.search(r"(\d+)(?:/| of )3600", line).group(1)) for line in capsys.readouterr().out.splitlines()]
    assert 10 < len(counts) < 130
    assert counts == sorted(counts)
    assert counts[0] == 6
    assert counts[-1] > 3500
