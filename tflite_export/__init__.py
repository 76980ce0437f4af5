"""Keras 3 models as `.tflite` files whose numbers were checked.

Importing this package is cheap: TensorFlow, Keras and LiteRT are imported on use.
"""

from tflite_export.errors import ExportError
from tflite_export.export import export
from tflite_export.inspection import FileReport, Port, inspect
from tflite_export.litert import predict
from tflite_export.report import ExportReport, TensorSparsity

__all__ = ["ExportError", "ExportReport", "FileReport", "Port", "TensorSparsity", "export", "inspect", "predict"]
