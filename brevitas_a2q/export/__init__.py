"""From a trained Brevitas model to a file that computes the same integers: QONNX for FINN, QCDQ for onnxruntime."""

from __future__ import annotations

from brevitas_a2q.export.qonnx import ExportReport, export_qonnx

__all__ = ["ExportReport", "export_qonnx"]
