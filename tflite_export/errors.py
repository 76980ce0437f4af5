"""The exception of this package, and the ImportError where a package is not installed that something needs."""

import importlib.util

# What `pip install` calls packages that Python calls otherwise, or how it finds them.
_PIP = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "litert_quantizer": "litert-quantizer",
    "tflite_micro": "--pre tflite-micro",
}


class ExportError(RuntimeError):
    """Error of an export: the model cannot be converted, or its file differs from it. Nothing was written."""


def pip_line(*packages: str) -> str:
    """Return the command that installs packages, which are named as they are imported."""
    return f"pip install {' '.join(_PIP.get(package, package) for package in packages)}"


def missing(user: str, *packages: str) -> ImportError:
    """Return the error of something that needs packages that are not installed.

    Args:
        user: What needs them, the first words of the message.
        *packages: The packages, as they are imported.
    """
    names = " and ".join(_PIP.get(package, package).split()[-1] for package in packages)
    found = " and ".join(map(repr, packages))
    return ImportError(f"{user} needs {names}: {pip_line(*packages)}. Received: no module named {found}")


def require(*packages: str, user: str = "tflite_export") -> None:
    """Raise an ImportError that says what to install unless all `packages` are there; import none."""
    lacking = [package for package in packages if importlib.util.find_spec(package) is None]
    if lacking:
        raise missing(user, *lacking)
