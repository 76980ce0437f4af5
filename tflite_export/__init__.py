"""Keras 3 models as `.tflite` files whose numbers were checked.

Importing this package is cheap: TensorFlow, Keras and LiteRT are imported on use.
"""

from tflite_export.benchmarking import Benchmark, Timing, benchmark
from tflite_export.carray import CArray, to_c_array
from tflite_export.comparison import Comparison, OutputDifference, compare
from tflite_export.constants import TensorSparsity
from tflite_export.errors import ExportError
from tflite_export.export import export
from tflite_export.inspection import FileReport, Port, inspect
from tflite_export.litert import predict
from tflite_export.micro import MicroReport, check_micro, micro_resolver
from tflite_export.packing import Packed, pack, unpack
from tflite_export.report import ExportReport
from tflite_export.sparse_speed import KernelSpeed, SparseSpeed, check_sparse_speed
from tflite_export.timing import CallTime

__all__ = [
    "Benchmark",
    "CArray",
    "CallTime",
    "Comparison",
    "ExportError",
    "ExportReport",
    "FileReport",
    "KernelSpeed",
    "MicroReport",
    "OutputDifference",
    "Packed",
    "Port",
    "SparseSpeed",
    "TensorSparsity",
    "Timing",
    "benchmark",
    "check_micro",
    "check_sparse_speed",
    "compare",
    "export",
    "inspect",
    "micro_resolver",
    "pack",
    "predict",
    "to_c_array",
    "unpack",
]
