"""What FINN's formulas say about the rows that were synthesised, to have its error beside ours.

Sources: FINN ``matrixvectoractivation.py`` and ``matrixvectoractivation_hls.py`` (without the constant 300 of a whole
unit, which a bare array does not have), ``streamingdatawidthconverter.py``, ``streamingfifo.py``,
``convolutioninputgenerator_rtl.py``. Every other streaming unit is 0 in FINN.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, lcm, log2

from brevitas_a2q.hw import _ir as ir

__all__ = ["grid_lut", "unit_lut"]


def _array(w: int, a: int, simd: int, pe: int, p: int) -> float:
    width = w + a
    return 1.1 * pe * (simd * (2 * ceil(width / 6) - 1) * width + width * (2 * simd - 1) + p)


def grid_lut(row: Mapping[str, str]) -> float | None:
    """FINN's LUTs of a row of the grid, None where it has no such unit."""

    def n(name: str, default: int = 1) -> int:
        return int(row[name]) if row[name] else default

    component = row["component"]
    if component == "mvu_core":
        return _array(n("W"), n("A"), n("SIMD"), n("PE"), n("P"))
    if component.startswith("finn_mvu_dsp"):
        return 0.0
    if component.startswith("threshold"):
        steps = 2 ** n("B") - 1
        return 1.1 * n("PE") * (steps * n("P") * ceil(n("CF") / 64) + steps * n("P"))
    if component.startswith("wmem"):
        return float(n("WD") * ceil(n("D") / 64))
    return None  # FINN has no unit with constant weights


def unit_lut(unit: ir.Unit) -> float | None:
    """FINN's LUTs of a streaming unit; None for matrix units and thresholds, whose parts the grid has."""
    match unit:
        case ir.MatrixUnit() | ir.Thresholding():
            return None
        case ir.DataWidthConverter():
            first, last = unit.input_width, unit.output_width
            common = lcm(first, last)
            up = (first != common) * (abs(ceil(log2(first / common))) + common)
            down = (common != last) * (abs(ceil(log2(common / last))) + last)
            return float(up + down)
        case ir.Fifo(depth=2):
            return float(2 + ceil(unit.width / 2))
        case ir.Fifo():
            return float(2 * ceil(log2(unit.depth)) + ceil(unit.depth / 32) * ceil(unit.width / 2))
        case ir.SlidingWindow():
            return 300.0
    return 0.0
