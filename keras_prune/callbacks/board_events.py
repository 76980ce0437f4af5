"""Event files, which TensorBoard reads, written with the package `tensorboard` alone."""

import io
import itertools
import os
import socket
import time
from types import ModuleType
from typing import Any

import numpy as np

from tflite_export.errors import missing, require

_NUMBERS = itertools.count()


def grey_png(image: np.ndarray) -> bytes:
    """A PNG file as bytes, by Pillow, which `tensorboard` brings along.

    Args:
        image: Matrix of floats in [0, 1]: 0 is black, 1 white.
    """
    from PIL import Image  # here, since it is part of an extra

    file = io.BytesIO()
    Image.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def check_tensorboard() -> None:
    """Raises an `ImportError` that says what to install, if `tensorboard` or Pillow is missing."""
    _modules()
    require("PIL", user="PruningBoard")


class EventFile:
    """A new event file in a folder.

    `tensorboard`'s own writer of files would import TensorFlow wherever that is installed; that of records does not.

    Args:
        folder: Folder to write to; created if it does not exist.
    """

    def __init__(self, folder: str):
        self._event, self._summary, records = _modules()
        os.makedirs(folder, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._file = open(os.path.join(folder, f"{name}.pruning"), "xb")  # noqa: SIM115  # `close` closes it
        self._records = records.RecordWriter(self._file)
        self._write(file_version="brain.Event:2")

    def write(self, step: int, scalars: dict[str, float], images: dict[str, tuple[int, int, bytes]]) -> None:
        """Writes the values of a step; they can be read at once.

        Args:
            step: The step.
            scalars: Numbers by tag.
            images: Height, width and PNG file by tag.
        """
        values = [self._summary.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        for tag, (height, width, png) in images.items():
            image = self._summary.Summary.Image(height=height, width=width, colorspace=1, encoded_image_string=png)
            values.append(self._summary.Summary.Value(tag=tag, image=image))
        self._write(step=step, summary=self._summary.Summary(value=values))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, **content: Any) -> None:
        self._records.write(self._event.Event(wall_time=time.time(), **content).SerializeToString())
        self._file.flush()


def _modules() -> tuple[ModuleType, ModuleType, ModuleType]:
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer import record_writer
    except ImportError as error:
        raise missing("PruningBoard", "tensorboard") from error
    return event_pb2, summary_pb2, record_writer
