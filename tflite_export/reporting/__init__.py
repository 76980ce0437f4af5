"""Results of both packages: tables as text, Markdown and HTML, `Shown`, the base of everything that is returned, and
`Report`, that of what is returned to be read."""

from tflite_export.reporting.bars import Bars
from tflite_export.reporting.report import Report
from tflite_export.reporting.shown import Shown
from tflite_export.reporting.tables import Table, printable
from tflite_export.reporting.terminal import shows_bars

__all__ = ["Bars", "Report", "Shown", "Table", "printable", "shows_bars"]
