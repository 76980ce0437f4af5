"""Every public function with every argument wrong in turn: a clear error, and nothing changed or written before it.

Most values are refused before any work. What is taken (1.5 for a threshold, say) costs a run of the function, so the
suite takes some of the calls, and `make fuzz` all of them.
"""

import inspect
import os
import random

import pytest
from support.argument_calls import REQUIRED, Call, calls

import keras_prune as kp
import tflite_export
from keras_prune import plots, tfmot

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

SOME = 200
NOT_CALLED = {"register_rule", "register_preparation", "prune_scope"}  # decorators of functions, and no arguments


def chosen() -> list[Call]:
    found = list(calls())
    return found if "FUZZ_EXAMPLES" in os.environ else random.Random(0).sample(found, SOME)


@pytest.mark.parametrize("call", chosen(), ids=str)
def test_a_wrong_argument_is_taken_or_refused_clearly(call, tmp_path):
    error = call(tmp_path)
    if error and not call.is_users_error:
        assert error.startswith(("ValueError: ", "TypeError: ", "ExportError: ", "FileNotFoundError: ")), error
        assert "Received: " in error


@pytest.mark.parametrize("function", REQUIRED, ids=lambda function: function.__name__)
def test_the_calls_are_right_without_the_wrong_argument(function, tmp_path):
    function(**REQUIRED[function](tmp_path))


@pytest.mark.parametrize("package", [kp, plots, tfmot, tflite_export], ids=lambda package: package.__name__)
def test_every_public_function_is_among_them(package):
    public = {name: getattr(package, name) for name in package.__all__}
    # What only others return, or is registered, is not called by users with arguments of their own.
    functions = {name for name, each in public.items() if inspect.isfunction(each)} - NOT_CALLED
    assert {name for name in functions if public[name] not in REQUIRED} == set()
