"""The command line: `keras-prune`, or `python -m keras_prune`.

Each command is a thin layer over a function of the library. Its options have the names of that function's arguments.
"""

from keras_prune.cli.main import main

__all__ = ["main"]
