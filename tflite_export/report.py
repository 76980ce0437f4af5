"""What `export` found out about the file it wrote."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

_ROWS = 12  # tensors that the printed table shows; the report holds all


@dataclass(frozen=True)
class TensorSparsity:
    """A weight in the file.

    Attributes:
        name: Its name in the file.
        shape: Its shape in the file: LiteRT has other layouts than Keras.
        dtype: Its type, "float32".
        elements: How many numbers it holds.
        zeros: How many of them are zero.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    elements: int
    zeros: int

    @property
    def sparsity(self) -> float:
        """The fraction that is zero."""
        return self.zeros / self.elements


@dataclass(frozen=True)
class ExportReport:
    """A written file and the checks that it passed. `print(report)` shows it as tables.

    Attributes:
        path: The file.
        bytes: Its size.
        zipped_bytes: Its size after deflate, what a download or an app package takes.
        inputs: The signature names of its inputs, in the file's order, which is the Keras model's.
        outputs: The signature names of its outputs, likewise.
        samples: How many samples went through Keras and through the file.
        max_difference: The largest difference from Keras's outputs, relative to max(1, max|Keras output|).
        tolerance: What it had to stay within.
        tensors: The kernels and embeddings.
        operators: How often each operator of LiteRT is used.
        latency_ms: Median time of one call on this machine, with one thread.
        latency_p10_ms: 10th percentile of the same.
        latency_p90_ms: 90th percentile of the same.
    """

    path: Path
    bytes: int
    zipped_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    samples: int
    max_difference: float
    tolerance: float
    tensors: tuple[TensorSparsity, ...]
    operators: dict[str, int]
    latency_ms: float
    latency_p10_ms: float
    latency_p90_ms: float

    @property
    def sparsity(self) -> float:
        """The fraction of all `tensors` that is zero."""
        return sum(t.zeros for t in self.tensors) / max(1, sum(t.elements for t in self.tensors))

    def __str__(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        facts = Table(box=None, show_header=False, title=self.path.name, title_justify="left", title_style="")
        for name, value in self._facts():
            facts.add_row(name, value)

        table = Table("weight", box=box.ASCII2)
        for heading in ("shape", "zeros", "sparsity"):
            table.add_column(heading, justify="right", no_wrap=True)
        largest = sorted(self.tensors, key=lambda tensor: -tensor.elements)[:_ROWS]
        for tensor in (tensor for tensor in self.tensors if tensor in largest):
            shape = " x ".join(map(str, tensor.shape))
            table.add_row(tensor.name.partition(";")[0], shape, f"{tensor.zeros:,}", f"{tensor.sparsity:.1%}")
        left = len(self.tensors) - len(table.rows)
        if left > 0:
            table.add_row(f"and {left} smaller", "", "", "")

        # A console of fixed width that is no terminal: plain text, the same wherever it is printed.
        text = StringIO()
        console = Console(file=text, width=100, color_system=None, force_terminal=False, highlight=False)
        console.print(facts)
        if self.tensors:
            console.print(table)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def _facts(self) -> list[tuple[str, str]]:
        spread = f"p10 {self.latency_p10_ms:.3g}, p90 {self.latency_p90_ms:.3g}"
        check = f"allowed {self.tolerance:g}, {self.samples} samples"
        return [
            ("size", f"{self.bytes:,} bytes, {self.zipped_bytes:,} zipped"),
            ("sparsity", f"{self.sparsity:.1%} of the weights"),
            ("difference from Keras", f"{self.max_difference:.2g} ({check})"),
            ("latency", f"{self.latency_ms:.3g} ms ({spread}, one thread)"),
            ("operators", ", ".join(f"{count} {name}" for name, count in self.operators.items())),
            ("inputs", ", ".join(self.inputs)),
            ("outputs", ", ".join(self.outputs)),
        ]
