"""The one way to the package tflite_export, which stands on TensorFlow and LiteRT: only who needs files takes it."""

from typing import Any


def exporter(what: str) -> Any:
    """The package tflite_export.

    Args:
        what: What needs it, for the message.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import tflite_export  # here, since it is part of an extra
    except ImportError as error:
        raise ImportError(f"{what} needs the package tflite_export. Received: no such package") from error
    return tflite_export
