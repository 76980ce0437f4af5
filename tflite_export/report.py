"""`ExportReport`: what `export` returns."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_export.keras_models.kernels import Kernel
from tflite_export.packaging.xz import gzip_bytes, xz
from tflite_export.reader import flatbuffer
from tflite_export.reader.weight_tables import LARGEST, TensorSparsity, tensor_records, tensor_table
from tflite_export.report_page import export_page
from tflite_export.reporting import Bars, Report, Table
from tflite_export.storage import checked_target, write
from tflite_export.timing import CallTime
from tflite_export.verification.checks import OutputCheck, Run, lost_sharing
from tflite_export.verification.judgement import warn_of_outputs
from tflite_export.verification.left_in_float import warn_of_operators, warn_of_weights


@dataclass(frozen=True)
class ExportReport(Report):
    """Report of an export: the file, its sizes, its differences from Keras, its weights, its latency.

    `print` shows tables with the largest weights, `to_html` and `to_markdown` all of them; `records` has an entry for
    each weight. With `verify=False` the file was not run: what only a run can measure is None, or empty.

    Attributes:
        path: The file.
        quantize: What was asked for: how weights are stored and in which type the file computes; None: float32. What
            stands in the file, `weight_types` says, and `warnings` name what stayed in float32.
        sparse: Whether zeros are left out of the file.
        batch_size: How many samples it takes at a time; None: as many as it is given.
        bytes: Its size, in bytes.
        gzip_bytes: Its size after gzip, in bytes: what a download or an app package takes.
        xz_bytes: Its size after xz, in bytes: the smallest download (`pack`).
        inputs: The signature names of its inputs, in the file's order, which is the Keras model's.
        outputs: The signature names of its outputs, likewise.
        verified: Whether it was run and compared.
        samples: How many samples Keras and the file were compared on.
        max_difference: The largest difference from Keras's outputs, relative to max(1, max|Keras output|).
        mean_difference: The mean difference, relative to the same.
        tolerance: The largest difference that was allowed.
        keras_accuracy: The accuracy of Keras, a fraction of the labels; None: there were no labels.
        accuracy: The accuracy of the file, likewise.
        tensors: The kernels and embeddings in the file.
        operators: How often each operator of LiteRT is used.
        timings: How long a call takes on this machine, with one thread and with one per processor: a call of
            `batch_size` samples, or of one.
        memory: By how many bytes loading and running the file raised the most memory that a process held, as
            Linux counts it; None: unknown.
        warnings: What the file has lost, and what the check could not measure, line by line.
        error: The root mean squared error, relative to the spread of Keras's outputs from sample to sample: 1 is that
            of a file that ignores its input. None: not to be measured, with one sample, say.
        agreement: The fraction of the samples with Keras's class; None: the outputs are no probabilities of classes.
        checks: The differences of each output, of which those above are the worst.
    """

    path: Path
    quantize: str | None
    sparse: bool
    batch_size: int | None
    bytes: int
    gzip_bytes: int
    xz_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    verified: bool
    samples: int
    max_difference: float | None
    mean_difference: float | None
    tolerance: float | None
    keras_accuracy: float | None
    accuracy: float | None
    tensors: tuple[TensorSparsity, ...]
    operators: dict[str, int]
    timings: tuple[CallTime, ...]
    memory: int | None
    warnings: tuple[str, ...]
    error: float | None = None
    agreement: float | None = None
    checks: tuple[OutputCheck, ...] = ()

    @property
    def sparsity(self) -> float:
        """The fraction of all `tensors` that is zero."""
        return sum(t.zeros for t in self.tensors) / max(1, sum(t.elements for t in self.tensors))

    @property
    def weight_types(self) -> dict[str, int]:
        """How many weights of `tensors` the file stores in each type, whatever `quantize` asked for."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.elements
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    @property
    def latency_ms(self) -> float | None:
        """Median time of one call, in milliseconds, with one thread."""
        return self.timings[0].median_ms if self.timings else None

    def __str__(self) -> str:
        tables = (self._summary(), tensor_table("Weight", self.tensors, LARGEST))
        return "\n".join(table.text() for table in tables if table.rows)

    def _tables(self) -> list[Table]:
        return [self._summary(), tensor_table("Weight", self.tensors)]

    def _rows(self) -> list[dict[str, Any]]:
        return tensor_records(self.tensors)

    def _facts(self) -> Mapping[str, Any]:
        return {
            **super()._facts(),
            "tensors": self._rows(),
            "sparsity": self.sparsity,
            "weight_types": self.weight_types,
        }

    def _bars(self) -> Bars:
        sizes = (self.bytes, self.gzip_bytes, self.xz_bytes)
        return Bars(self.path.name, "bytes", ("file", "after gzip", "after xz"), {"size": sizes})

    def to_html(self) -> str:
        """Return a page with tables and bars that needs no other file, no network and no script."""
        return export_page(
            self.path.name,
            self.verified,
            self._tiles(),
            self.warnings,
            {"file": self.bytes, "after gzip": self.gzip_bytes, "after xz": self.xz_bytes},
            self._checks(),
            self.tensors,
            self._float32(),
            self.operators,
            self._html(),
        )

    def save_html(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write that page to a file.

        Args:
            path: Where to: it ends in ".html".
            overwrite: Whether an existing file may be replaced. Defaults to False.

        Raises:
            ValueError: Another ending, a folder that does not exist, or a file that does.
        """
        target = checked_target(path, (".html",), overwrite=overwrite, name="path")
        write(target, self.to_html().encode(), overwrite=overwrite)

    def _tiles(self) -> list[tuple[str, str]]:
        """The facts that are read first."""
        tiles = [
            ("File", f"{self.bytes:,} bytes"),
            ("As a download (xz)", f"{self.xz_bytes:,} bytes"),
            ("Weights", f"{self._weights()}, zeros {'left out' if self.sparse else 'stored'}"),
            ("Zeros", f"{self.sparsity:.1%} of the weights"),
            ("Largest difference from Keras", _small(self.max_difference) if self.verified else "not verified"),
        ]
        if self.accuracy is not None:
            tiles.append(("Accuracy", f"{self.accuracy:.2%}, Keras {self.keras_accuracy:.2%}"))
        if self.latency_ms is not None:
            tiles.append(("Latency, 1 thread", f"{self.latency_ms:.3g} ms"))
        if self.memory:
            tiles.append(("Memory to load and run it", f"{self.memory:,} bytes"))
        return tiles

    def _checks(self) -> Table:
        """How each output differs from Keras's."""
        rows = [
            (
                each.name,
                _small(each.max_difference),
                _small(each.mean_difference),
                "-" if each.error is None else f"{each.error:.2%}",
                "-" if each.agreement is None else f"{each.agreement:.1%}",
            )
            for each in self.checks
        ]
        title = f"{self.samples:,} samples; allowed is {self.tolerance:g}" if self.verified else ""
        return Table(("Output", "Max difference", "Mean difference", "Error of the spread", "Same class"), rows, title)

    def _float32(self) -> list[TensorSparsity]:
        """The weights that are float32, where something else was asked for."""
        return [each for each in self.tensors if each.dtype == "float32"] if self.quantize else []

    def _weights(self) -> str:
        """What was asked for, or what is there where nothing of it is."""
        if self.quantize is not None and list(self.weight_types) == ["float32"]:
            return f"float32 (asked for: {self.quantize})"
        return self.quantize or "float32"

    def _summary(self) -> Table:
        difference = "not verified"
        if self.verified:
            check = f"allowed {self.tolerance:g}, {self.samples} samples"
            difference = f"{self.max_difference:.2g}, mean {self.mean_difference:.2g} ({check})"
        rows = [
            ("weights", f"{self._weights()}, zeros {'left out' if self.sparse else 'stored'}"),
            ("size", f"{self.bytes:,} bytes, {self.gzip_bytes:,} gzip, {self.xz_bytes:,} xz"),
            ("sparsity", f"{self.sparsity:.1%} of the weights"),
            ("difference from Keras", difference),
        ]
        if len(self.checks) > 1:
            rows += [(f"difference of {row[0]}", f"{row[1]}, mean {row[2]}") for row in self._checks().rows]
        if self.error is not None:
            same = "" if self.agreement is None else f", the same class for {self.agreement:.1%}"
            rows.append(("error", f"{self.error:.2%} of the spread of Keras's outputs{same}"))
        if len(self.weight_types) > 1:
            stored = ", ".join(f"{count:,} in {name}" for name, count in self.weight_types.items())
            rows.insert(1, ("stored", stored))
        if self.accuracy is not None:
            rows.append(("accuracy", f"{self.accuracy:.2%}, Keras {self.keras_accuracy:.2%}"))
        if self.batch_size != 1:
            rows.append(("batch", "free" if self.batch_size is None else f"{self.batch_size} samples a call"))
        for timing in self.timings:
            spread = f"p10 {timing.p10_ms:.3g}, p90 {timing.p90_ms:.3g}"
            threads = "1 thread" if timing.threads == 1 else f"{timing.threads} threads"
            rows.append(("latency", f"{timing.median_ms:.3g} ms ({spread}, {threads})"))
        if self.memory:
            rows.append(("memory", f"{self.memory:,} bytes to load and run it"))
        rows += [
            ("operators", ", ".join(f"{count} {name}" for name, count in self.operators.items())),
            ("inputs", ", ".join(self.inputs)),
            ("outputs", ", ".join(self.outputs)),
        ]
        rows += [("warning", line) for line in self.warnings]
        return Table(None, rows, self.path.name)


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def report_of(
    path: Path,
    content: bytes,
    run: Run | None,
    *,
    kernels: Sequence[Kernel],
    quantize: str | None,
    sparse: bool,
    batch_size: int | None,
    inputs: Sequence[str],
    outputs: Sequence[str],
    samples: int,
    tolerance: float,
    notes: Sequence[str],
    accuracy: float | None,
    keras_accuracy: float | None,
) -> ExportReport:
    """Make the report of a file that passed; `run` is None if it was not run."""
    tensors, model = flatbuffer.weights(content), flatbuffer.read(content)
    return ExportReport(
        path=path,
        quantize=quantize,
        sparse=sparse,
        batch_size=batch_size,
        bytes=len(content),
        gzip_bytes=gzip_bytes(content),
        xz_bytes=len(xz(content)),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        verified=run is not None,
        samples=samples if run else 0,
        max_difference=run.max_difference if run else None,
        mean_difference=run.mean_difference if run else None,
        tolerance=tolerance if run else None,
        error=run.error if run else None,
        agreement=run.agreement if run else None,
        checks=run.outputs if run else (),
        keras_accuracy=keras_accuracy,
        accuracy=accuracy,
        tensors=tensors,
        operators=flatbuffer.count_operators(model),
        timings=tuple(CallTime.of(threads, seconds) for threads, seconds in sorted(run.seconds.items())) if run else (),
        memory=(run.memory or None) if run else None,
        warnings=(
            *lost_sharing(kernels, tensors),
            *warn_of_weights(quantize, tensors),
            *warn_of_operators(quantize, model),
            *(warn_of_outputs(run.error, run.agreement, samples) if run else ()),
            *notes,
        ),
    )
