"""The command line: `keras-prune`, or `python -m keras_prune`.

Each command is a thin layer over a function of the library. Its options have the names of that function's arguments.
What its module imports costs little: Keras, and all that needs it, is imported by the functions that run the command,
once options and files were checked.
"""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: see `keras-prune --help`.

    Args:
        argv: The arguments. Defaults to those of this process.

    Returns:
        The exit code.
    """
    try:
        from keras_prune.cli.program import main as run

        return run(argv)
    except KeyboardInterrupt:  # before the first command, or after the last
        return 130


__all__ = ["main"]
