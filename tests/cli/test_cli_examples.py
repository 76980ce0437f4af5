"""The help of each command: its examples run as they stand, with `--json` too, and it tells every default."""

import argparse
import inspect
import re
import shlex
import shutil
from typing import get_args

import keras
import pytest
from support import cli_files, tflite_files
from support.zoo import BACKEND

import keras_prune as kp
import tflite_export
from keras_prune.channels.limits import Scope
from keras_prune.cli import main
from keras_prune.cli.program import parser
from keras_prune.cli.prune_layers import CRITERIA as CRITERIA_OF_LAYERS
from keras_prune.cli.prune_layers import UNITS
from keras_prune.layers.analysis import Units
from keras_prune.layers.scores import check_importance
from keras_prune.layers.scores import names as layer_criteria
from tflite_export.conversion.modes import MODES

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")


def leaves(top):
    """The parsers of all commands, by name."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                below = dict(leaves(inner))
                yield from ((f"{name} {each}", found) for each, found in below.items())
                if not below:
                    yield name, inner


COMMANDS = dict(leaves(parser()))


def examples(command):
    """The lines of the example in a command's help."""
    text = re.search(r"^example:\n((?:  .*\n?)+)", COMMANDS[command].epilog, re.M)[1]
    return [shlex.split(line) for line in text.replace("\\\n", "").splitlines()]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with all files that examples read."""
    folder = tmp_path_factory.mktemp("files")
    keras.utils.set_random_seed(0)
    model = cli_files.cnn()
    model.save(folder / "model.keras")
    kp.prune_weights(model, 0.5).save(folder / "sparse.keras")
    kp.prune_channels(model, 0.5).model.save(folder / "small.keras")
    cli_files.residual().save(folder / "residual.keras")
    cli_files.write_data(folder)
    inputs = cli_files.images(16, 3)[0]
    for kind, name in (("float32", "model.tflite"), ("int8", "int8.tflite")):
        (folder / name).write_bytes(tflite_files.convert(model, kind, tmp_path_factory.mktemp(kind), inputs))
    return folder


SLOW = {"autoprune", "export"}  # several files are exported and checked


@pytest.mark.parametrize(
    "command", [pytest.param(each, marks=pytest.mark.slow) if each in SLOW else each for each in COMMANDS]
)
def test_examples_run(files, tmp_path, monkeypatch, capsys, command):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    found = examples(command)
    assert found
    for words in found:
        assert words[0] == "keras-prune"
        assert " ".join(words[1:]).startswith(command)
        outputs = [words[i + 1] for i, word in enumerate(words) if word in ("-o", "--html", "--resolver")]
        if "--overwrite" not in words:
            for output in outputs:
                (tmp_path / output).unlink(missing_ok=True)
        before = {output: _stamp(tmp_path / output) for output in outputs}
        code = main([*words[1:], "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        result = cli_files.strict_json(out)
        assert result["command"] == command
        assert result["report"]
        for output in outputs:  # `autoprune` writes into a folder
            assert any(written == output or written.startswith(f"{output}/") for written in result["written"])
            assert _stamp(tmp_path / output) != before[output]


def _stamp(path):
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_what_it_needs_to(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    for part in ("example:", "exit codes:", "--json", "usage: keras-prune"):
        assert part in text
    lines = text.split("positional arguments:")[1].splitlines()
    lines += COMMANDS[command].description.splitlines()  # the usage has long lists of choices
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_option_stands_alone(command):
    """It is a text of its own, and tells the default, that which is used."""
    for action in COMMANDS[command]._actions:
        assert action.help, action
        if action.nargs == 0 or action.required or not action.option_strings:  # flags; what must be given
            continue
        told = re.search(r"\(default: (.*)\)$", action.help % {})
        assert told, action.option_strings
        default = action.default
        if isinstance(default, list) and default:
            default = " ".join(map(str, default))
        if isinstance(default, int | float | str):
            assert re.split(r"[;, ]", told[1])[0] in (str(default), str(default).split()[0]), action.option_strings


FUNCTIONS = {
    "summary": kp.summary,
    "cost": kp.cost,
    "channels": kp.analyze_channels,
    "sensitivity": kp.sensitivity,
    "prune weights": kp.prune_weights,
    "prune channels": kp.prune_channels,
    "prune layers": kp.prune_layers,
    "autoprune": kp.autoprune,
    "strip": kp.strip_pruning,
    "export": tflite_export.export,
    "inspect": tflite_export.inspect,
    "benchmark": tflite_export.benchmark,
    "compare": kp.compare,
    "micro": tflite_export.check_micro,
    "c-array": tflite_export.to_c_array,
}
# Arguments whose options have another name.
RENAMED = {
    "*": {
        "budget": "budget_macs",
        "inputs": "data",
        "labels": "data",
        "train_data": "data",
        "x": "data",
        "y": "data",
        "path": "file",
        "paths": "files",
        "models": "files",
        "out": "output",
    },
    "export": {"path": "output", "samples": "compare"},  # --samples is how many are drawn from --data
    "inspect": {"compressed": "fast"},
    "compare": {"latency": "no_latency"},
}


def test_every_command_is_compared():
    assert set(FUNCTIONS) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_has_an_option_with_its_default(command):
    options = {action.dest: action for action in COMMANDS[command]._actions}
    for name, parameter in inspect.signature(FUNCTIONS[command]).parameters.items():
        renamed = {**RENAMED["*"], **RENAMED.get(command, {})}.get(name, name)
        assert renamed in options, name
        default = options[renamed].default
        if type(parameter.default) is type(default) is not bool:
            assert default == parameter.default, name


def test_the_choices_are_those_of_the_library():
    options = {action.dest: action for action in COMMANDS["prune channels"]._actions}
    assert set(options["scope"].choices) == set(get_args(Scope))
    assert set(CRITERIA_OF_LAYERS) == set(layer_criteria())
    assert get_args(Units) == UNITS
    options = {action.dest: action for action in COMMANDS["export"]._actions}
    assert {None, *options["quantize"].choices} == set(MODES)
    assert set(options["input_type"].choices) == {each for mode in MODES.values() for each in mode.port_types}


CRITERIA = [
    ("prune weights", "weights"),
    ("prune channels", "channels"),
    ("sensitivity", "weights"),
    ("sensitivity", "channels"),
]


@pytest.mark.parametrize(("command", "what"), CRITERIA)
def test_the_importance_criteria_are_those_of_the_registry(command, what):
    action = next(each for each in COMMANDS[command]._actions if each.dest == "importance")
    listed = re.findall(r"\w+", action.help)
    for name in set(kp.importance.names(what)) - {"movement"}:  # it needs masks, and training
        assert name in listed
        assert action.type(name) == name
    for name in ("movement", "nonsense"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"must be one of .*Received: '{name}'"):
            action.type(name)


def test_the_importance_criteria_of_layers_are_those_of_the_library():
    action = next(each for each in COMMANDS["prune layers"]._actions if each.dest == "importance")
    for name in layer_criteria():
        assert re.search(rf"\b{name}\b", action.help)
        check_importance(action.type(name))
    with pytest.raises(argparse.ArgumentTypeError, match="Received: 'lamp'"):
        action.type("lamp")
