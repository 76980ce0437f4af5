"""`--version`: this package, and those that a report of a bug should name. None of them is imported."""

import argparse
import platform
from typing import Any

from keras_prune._version import __version__

_OTHERS = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "ai-edge-litert", "numpy")


class Version(argparse.Action):
    """Option that prints the versions and ends the program."""

    def __init__(self, option_strings: Any, dest: str, **options: Any):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"{parser.prog} {__version__}\n{', '.join(_found())}")
        parser.exit()


def _found() -> list[str]:
    from importlib import metadata  # here, since only this option needs it

    lines = [f"Python {platform.python_version()}"]
    for name in _OTHERS:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return lines
