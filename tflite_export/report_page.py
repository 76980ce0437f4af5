"""The page of an export: what the file weighs, how far its outputs are from Keras's, and what its weights are."""

from collections.abc import Mapping, Sequence
from html import escape

from tflite_export.reader.weight_tables import LARGEST, TensorSparsity, largest, shape_text, short_name
from tflite_export.reporting import Table, printable
from tflite_export.reporting.page import bar, laid_out

_LEAD = "Exported from Keras. LiteRT ran the file, and its outputs were compared with Keras's, before it was written."
_NOT_RUN = "Exported from Keras with verify=False: the file was not run, and nothing was compared."
_DIFFERENCES = (
    "Differences are relative to max(1, max|Keras's output|). The error is the root mean squared one, relative to how "
    "much Keras's outputs differ from sample to sample: 100% is that of a file that ignores its input."
)


def export_page(
    name: str,
    verified: bool,
    tiles: Sequence[tuple[str, str]],
    warnings: Sequence[str],
    sizes: Mapping[str, int],
    checks: Table,
    tensors: Sequence[TensorSparsity],
    in_float32: Sequence[TensorSparsity],
    operators: Mapping[str, int],
    numbers: str,
) -> str:
    """Return the page.

    Args:
        name: Of the file.
        verified: Whether it was run and compared.
        tiles: Names and values of the facts that are read first.
        warnings: What the file has lost, line by line.
        sizes: Bytes, by what has them.
        checks: The differences of each output; no rows if the file was not run.
        tensors: The weights in the file.
        in_float32: Those that are float32 though something else was asked for.
        operators: How often each operator is used.
        numbers: Everything as tables, as HTML.
    """
    sections = [
        _warnings(warnings),
        _part("Size", _sizes(sizes)),
        _part("Outputs", checks.html(), _DIFFERENCES, checks.title),
        _part("Weights", _weights(tensors), _largest_of(tensors)),
        _part("Left in float32", _float32(in_float32), "These weights could not be stored in the type asked for."),
        _part("Operators", _operators(operators)),
        f"<details><summary>All numbers</summary><div>{numbers}</div></details>",
    ]
    lead = _LEAD if verified else _NOT_RUN
    return laid_out(printable(name), lead, tiles, sections, "Made by tflite_export. This page needs no other file.")


def _part(title: str, content: str, *lines: str) -> str:
    """A heading, some lines, and a card; empty without content."""
    if not content:
        return ""
    text = "".join(f"<p>{escape(printable(line))}</p>" for line in lines if line)
    return f'<h2>{escape(title)}</h2>\n{text}<div class="card">{content}</div>'


def _warnings(lines: Sequence[str]) -> str:
    listed = "".join(f"<li>{escape(printable(line))}</li>" for line in lines)
    return f'<h2>Warnings</h2>\n<div class="card warning"><ul>{listed}</ul></div>' if listed else ""


def _sizes(sizes: Mapping[str, int]) -> str:
    most = max(sizes.values(), default=0)
    return _rows([(name, bar(size, most), f"{size:,} bytes") for name, size in sizes.items()])


def _operators(operators: Mapping[str, int]) -> str:
    most = max(operators.values(), default=0)
    return _rows([(name, bar(count, most), f"{count:,}") for name, count in operators.items()])


def _rows(rows: Sequence[tuple[str, str, str]]) -> str:
    """Bars with a name before, and a number after."""
    lines = [
        f"<tr><td>{escape(printable(name))}</td><td class=bar>{drawn}</td><td class=number>{escape(text)}</td></tr>"
        for name, drawn, text in rows
    ]
    return f"<table class=bars><tbody>\n{chr(10).join(lines)}\n</tbody></table>" if lines else ""


def _weights(tensors: Sequence[TensorSparsity]) -> str:
    """The largest weights: bars of their bytes, and of the fraction that is zero."""
    shown = largest(tensors)
    most = max((each.bytes for each in shown), default=0)
    lines = [
        f"<tr><td>{escape(printable(short_name(each)))}</td><td class=whole>{escape(shape_text(each.shape))}</td>"
        f"<td>{escape(each.dtype)}</td>"
        f"<td class=bar>{bar(each.bytes, most)}</td><td class=number>{each.bytes:,}</td>"
        f"<td class=bar>{bar(each.zeros, each.elements)}</td><td class=number>{each.sparsity:.1%}</td></tr>"
        for each in shown
    ]
    headings = "<th>Weight</th><th>Shape</th><th>Type</th><th colspan=2>Bytes in the file</th><th colspan=2>Zeros</th>"
    rows = "\n".join(lines)
    return f"<table><thead><tr>{headings}</tr></thead><tbody>\n{rows}\n</tbody></table>" if lines else ""


def _largest_of(tensors: Sequence[TensorSparsity]) -> str:
    more = len(tensors) - LARGEST
    return f"The {LARGEST} largest; {more:,} smaller ones are in the table of all numbers." if more > 0 else ""


def _float32(tensors: Sequence[TensorSparsity]) -> str:
    rows = [(short_name(each), shape_text(each.shape), f"{each.elements:,}", f"{each.bytes:,}") for each in tensors]
    return Table(("Weight", "Shape", "Elements", "Bytes"), rows).html()
