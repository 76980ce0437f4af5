"""Progress: bars where they can be seen, lines where output is kept, nothing where nothing is wanted."""

import contextlib
import io
import re
import sys
import types

import keras
import numpy as np
import pytest

import keras_prune as kp
from keras_prune.reporting import progress
from keras_prune.reporting.progress import fit_verbose, track, verbosity
from tflite_export.reporting import shows_bars

pytestmark = pytest.mark.core


class Output(io.StringIO):
    """Standard output: a terminal, or not."""

    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def shown(verbose, terminal=True):
    """Tracks three letters, with this verbosity; returns what was printed."""
    with contextlib.redirect_stdout(Output(terminal)) as out, verbosity(verbose):
        assert list(track("abc", 3, "Letters")) == list("abc")
    return out.getvalue()


def counts(lines):
    return [line.split(",")[0] for line in lines.splitlines()]


def test_long_work_says_how_far_it_is(monkeypatch):
    assert shown("auto") == ""
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    assert shown("auto").startswith("Letters\n")
    assert "3/3" in shown("auto")


def test_a_bar_at_once():
    assert shown(1).startswith("Letters\n")
    assert "3/3" in shown(1)


@pytest.mark.parametrize("setting", ["pipe", "NO_COLOR", "TERM"])
def test_no_bars_and_no_escape_codes_where_they_are_not_seen(monkeypatch, setting):
    terminal = setting != "pipe"
    if terminal:
        monkeypatch.setenv(setting, "dumb")
    assert not shows_bars(Output(terminal))
    assert shown(1, terminal) == shown("auto", terminal) == ""  # it takes no time
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    for verbose in ("auto", 1):
        assert shown(verbose, terminal) == "Letters: 1 of 3, 0.0 s\n"  # the next one half a minute later
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    assert counts(shown(1, terminal)) == [f"Letters: {each} of 3" for each in (1, 2, 3)]


def test_a_kernel_gets_lines(monkeypatch):
    """What is printed there is saved with the notebook, where a terminal's commands would be letters."""
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    assert counts(shown("auto", terminal=False)) == ["Letters: 1 of 3"]


def test_idle_gets_lines():
    """Its output says that it is a terminal, and shows the commands of a terminal as letters."""
    window = type("StdOutputFile", (Output,), {"__module__": "idlelib.run"})(terminal=True)
    assert not shows_bars(window)


def test_there_may_be_no_output_at_all(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    with contextlib.redirect_stdout(None):
        assert not shows_bars()
        assert list(track("ab", 2, "Letters")) == ["a", "b"]


def test_lines_are_few_and_up_to_date(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    for _ in track(range(3600), 3600, "Working"):
        now += 1.0
    found = [int(re.search(r"(\d+) of 3600", line).group(1)) for line in capsys.readouterr().out.splitlines()]
    assert 10 < len(found) < 130
    assert found == sorted(found)
    assert found[0] < 10
    assert found[-1] > 3500


def test_lines_and_nothing(monkeypatch):
    assert counts(shown(2)) == [f"Letters: {each} of 3" for each in (1, 2, 3)]
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    assert shown(0) == ""


def test_an_unknown_number(capsys):
    with verbosity(2):
        assert list(track(iter("ab"), None, "Letters")) == ["a", "b"]
    assert counts(capsys.readouterr().out) == ["Letters: 1", "Letters: 2"]


@pytest.mark.parametrize(("verbose", "terminal", "pipe"), [("auto", 1, 2), (1, 1, 2), (2, 2, 2), (0, 0, 0)])
def test_what_fit_prints(verbose, terminal, pipe):
    for expected in (terminal, pipe):
        with contextlib.redirect_stdout(Output(expected == 1)), verbosity(verbose):
            assert fit_verbose() == expected


@pytest.fixture(scope="module")
def trained():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(1, name="b")])
    model.compile("sgd", "mse")
    return model, (np.ones((4, 3)), np.zeros(4))


def test_a_scan_is_as_verbose_as_it_is_told(trained, capsys):
    for verbose in (0, "auto", False):
        kp.sensitivity(*trained, ratios=(0.5,), verbose=verbose)
        assert capsys.readouterr().out == ""
    kp.sensitivity(*trained, ratios=(0.5,), verbose=2)
    assert counts(capsys.readouterr().out) == ["Sensitivity: 1 of 2", "Sensitivity: 2 of 2"]


@pytest.mark.parametrize("verbose", [3, -1, 1.5, "yes", None])
def test_bad_verbosity(trained, verbose):
    with pytest.raises(ValueError, match=r'`verbose` must be 0, 1, 2 or "auto"\. Received: verbose='):
        kp.sensitivity(*trained, verbose=verbose)
