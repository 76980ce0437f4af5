"""The command line: `keras-prune`, or `python -m keras_prune`.

Each command is a thin layer over a function of the library. Its options have the names of that function's arguments.
"""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: see `keras-prune --help`.

    Args:
        argv: The arguments. Defaults to those of this process.

    Returns:
        The exit code.
    """
    from keras_prune.cli.quiet import import_keras

    import_keras()  # first: the commands import it too
    from keras_prune.cli.program import main as run

    return run(argv)


__all__ = ["main"]
