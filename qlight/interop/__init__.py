"""Exchange of integer graphs with other tools through ONNX and its dialect QONNX; needs the extra ``interop``."""

from qlight.interop.export import FORMATS, check_format, export_onnx_integer, export_qonnx, write
from qlight.interop.from_qonnx import convert, import_qonnx

__all__ = ["FORMATS", "check_format", "convert", "export_onnx_integer", "export_qonnx", "import_qonnx", "write"]
