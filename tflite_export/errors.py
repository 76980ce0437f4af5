"""The exception of this package, and the ImportError where TensorFlow or LiteRT is not installed."""

import importlib.util


class ExportError(RuntimeError):
    """Error of an export: the model cannot be converted, or its file differs from it. Nothing was written."""


def require(*packages: str, extra: str = "tflite") -> None:
    """Raise an ImportError that says what to install unless all `packages` are there; import none."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"tflite_export needs {' and '.join(missing)}. Install with: pip install keras-prune[{extra}]"
        )
