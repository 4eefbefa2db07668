"""The accelerator itself: a folded dataflow graph as Verilog, simulated bit for bit, synthesised by open tools."""

from brevitas_a2q._moved import face as _face

__getattr__, __dir__, __all__ = _face(__name__, __file__)
