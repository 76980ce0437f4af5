"""What the Keras of this environment lacks. `make test-floor` runs the tests on the oldest that is allowed."""

import contextlib
import importlib.metadata
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


def is_keras(version):
    """Whether Keras is of this version, or later: for what is there, but wrong, before it."""
    return _numbers(keras.__version__) >= _numbers(version)


def _numbers(version):
    return tuple(int(part) for part in version.split(".")[:2])


def _lacks(version, names):
    """Why Keras is too old; None if it is not."""
    lacking = [name for name in names if not has(name)]
    if lacking:
        return f"Keras {keras.__version__} has no {', '.join(lacking)}: needs {version}"
    return None if names or is_keras(version) else f"Keras {keras.__version__} cannot do it: needs {version}"


def needs_keras(version, *names):
    """A mark for tests of what came with this version of Keras: public names (see `has`), or right results."""
    reason = _lacks(version, names)
    return pytest.mark.skipif(reason is not None, reason=reason or "")


def require_keras(version, *names):
    """Skips the test that calls this, likewise."""
    reason = _lacks(version, names)
    if reason is not None:
        pytest.skip(reason)


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


def needs_tensorflow(version, why):
    """A mark for tests of what TensorFlow does otherwise before this version, and why."""
    here = version  # without TensorFlow the test is skipped for that
    for name in ("tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            here = importlib.metadata.version(name)
    return pytest.mark.skipif(_numbers(here) < _numbers(version), reason=f"TensorFlow {here}: {why}")
