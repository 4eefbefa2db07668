"""From a trained Brevitas model to a file that computes the same integers: QONNX for FINN, QCDQ for onnxruntime."""

from __future__ import annotations

from brevitas_a2q.export.qcdq import export_qcdq
from brevitas_a2q.export.qonnx import export_qonnx
from brevitas_a2q.export.report import ExportReport

__all__ = ["ExportReport", "export_qcdq", "export_qonnx"]
