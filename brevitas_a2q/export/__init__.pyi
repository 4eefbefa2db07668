from ._check_finn import check_finn as check_finn
from ._handoff import write_handoff as write_handoff
from ._qcdq import export_qcdq as export_qcdq
from ._qonnx import export_qonnx as export_qonnx
from ._report import ExportReport as ExportReport

__all__ = [
    "ExportReport",
    "check_finn",
    "export_qcdq",
    "export_qonnx",
    "write_handoff",
]
