"""FINN-style FPGA estimates of a QONNX file: no torch, no Brevitas. Names are imported on first use.

- From a file: :func:`estimate` (resources and speed), :func:`fold` (the optimal folding), :func:`fold_curve` (the
  optimal foldings from the slowest to the fastest), :func:`build` (the accelerator itself). They return frozen values;
  a :class:`Folding` says how one unit is folded, :class:`BuildOptions` whose units are meant.
- One unit: :func:`finn_node` as FINN estimates it, :func:`vivado_unit` as Vivado maps it.
- :func:`parts` lists the parts, :class:`Target` is a part with a rate and a clock.
"""

from brevitas_a2q._moved import face as _face

__getattr__, __dir__, __all__ = _face(__name__, __file__)
