"""What the Keras of this environment lacks. `make test-floor` runs the tests on the oldest that is allowed."""

import inspect

import keras
import pytest


def has(name):
    """Whether Keras has a public name, `"ops.nansum"`, or an argument of one, `"layers.Dense(units)"`."""
    path, _, argument = name.removesuffix(")").partition("(")
    found = keras
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is None or not argument:
        return found is not None
    return argument in inspect.signature(found.__init__ if isinstance(found, type) else found).parameters


def _reason(version, lacking):
    return f"Keras {keras.__version__} has no {', '.join(lacking)}: they came with {version}"


def needs_keras(version, *names):
    """A mark for tests of what came with this version of Keras: see `has`."""
    lacking = [name for name in names if not has(name)]
    return pytest.mark.skipif(bool(lacking), reason=_reason(version, lacking))


def require_keras(version, *names):
    """Skips the test that calls this, likewise."""
    lacking = [name for name in names if not has(name)]
    if lacking:
        pytest.skip(_reason(version, lacking))


def call_if_there(function, *args, otherwise=None):
    """`function(*args)`; `otherwise` if it uses an operation or a layer that this Keras lacks.

    On the newest Keras nothing is left out so: test_channel_rules.py looks whether all that Keras has is tried.
    """
    try:
        return function(*args)
    except AttributeError as error:
        if error.obj in (keras.ops, keras.layers):
            return otherwise
        raise
