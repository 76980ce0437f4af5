"""What the package raises when a conversion or a check fails, or when it lacks TensorFlow or LiteRT."""

import importlib.util


class ExportError(RuntimeError):
    """A model could not be converted, or its file does not do what the model does. Nothing was written."""


def require(*packages: str, extra: str = "tflite") -> None:
    """Raises an ImportError that says what to install unless all `packages` are there; imports none."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"tflite_export needs {' and '.join(missing)}. Install with: pip install keras-prune[{extra}]"
        )
