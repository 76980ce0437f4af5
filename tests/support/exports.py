"""Exports that take less time, for programs that make many files."""

import dataclasses
import pathlib


def first_only(export):
    """`export`, of which the first call is real, without a second try of a sparse file. Further ones copy the file."""
    done = []

    def quicker(model, path, **options):
        done[:] = done or [export(model, path, **options, sparse=False)]
        (report,) = done
        pathlib.Path(path).write_bytes(report.path.read_bytes())
        return dataclasses.replace(report, path=pathlib.Path(path))

    return quicker
