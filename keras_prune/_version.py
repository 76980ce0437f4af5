"""The version, alone in a file that imports nothing: building the package reads it."""

__version__ = "0.1.0"
