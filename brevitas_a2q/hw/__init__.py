"""FINN-style FPGA estimates of a QONNX file: no torch, no Brevitas. Names are imported on first use.

- From a file: :func:`estimate` (resources and speed), :func:`fold` (the optimal folding). Both return frozen values
  with ``to_json()``.
- Step by step: :func:`read_graph` gives a :class:`Graph` of units, :func:`apply_policy` sets its accumulators,
  :func:`estimate_graph`, :func:`fold_graph` and :func:`fold_curve` do the rest; a :class:`Folding` says how one unit is
  folded, :func:`build_design` costs any combination of them, :class:`DesignSpace` thousands at once.
- As FINN does: :func:`finn_node` for one node, :func:`finn_estimate` with :class:`FinnOptions` for a whole network,
  :func:`finn_folding` and :func:`read_foldings` for its folding file.
- Parts: :func:`find_part`, :func:`load_part`, :func:`parts`, :func:`boards`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
