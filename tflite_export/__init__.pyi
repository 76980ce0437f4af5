from .conversion.sparse_speed import (
    KernelSpeed as KernelSpeed,
)
from .conversion.sparse_speed import (
    SparseSpeed as SparseSpeed,
)
from .conversion.sparse_speed import (
    check_sparse_speed as check_sparse_speed,
)
from .errors import ExportError as ExportError
from .export import export as export
from .inspection import FileReport as FileReport
from .inspection import Port as Port
from .inspection import inspect as inspect
from .micro.check import MicroReport as MicroReport
from .micro.check import check_micro as check_micro
from .micro.check import micro_resolver as micro_resolver
from .packaging.c_array import CArray as CArray
from .packaging.c_array import to_c_array as to_c_array
from .packaging.xz import Packed as Packed
from .packaging.xz import pack as pack
from .packaging.xz import unpack as unpack
from .preparation import register_preparation as register_preparation
from .reader.weight_tables import TensorSparsity as TensorSparsity
from .report import ExportReport as ExportReport
from .runtime.benchmarking import Benchmark as Benchmark
from .runtime.benchmarking import Timing as Timing
from .runtime.benchmarking import benchmark as benchmark
from .runtime.comparison import Comparison as Comparison
from .runtime.comparison import OutputDifference as OutputDifference
from .runtime.comparison import compare as compare
from .runtime.litert import predict as predict
from .timing import CallTime as CallTime
