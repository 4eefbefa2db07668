"""The accelerator itself: a folded dataflow graph as Verilog, simulated bit for bit, synthesised by open tools."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
