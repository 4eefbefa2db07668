"""The cost of any folded unit by our model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brevitas_a2q.hw.cost.result import UnitCost
from brevitas_a2q.hw.cost.synthesis import pools, streams, windows
from brevitas_a2q.hw.cost.synthesis.bill import Bill
from brevitas_a2q.hw.cost.synthesis.cycles import unit_cycles
from brevitas_a2q.hw.cost.synthesis.matrix import control_features, matrix_bill
from brevitas_a2q.hw.cost.synthesis.thresholds import thresholds_bill
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import Folding, Thresholding, Unit

__all__ = ["cost", "price"]


def _thresholding(unit: Thresholding, folding: Folding, part: Part) -> Bill:
    rows, steps = unit.thresholds.shape
    per_pe = max(1, rows // folding.pe)
    width = unit.input_type.bit_width
    bill = Bill()
    bill.extend(thresholds_bill(steps, width, per_pe, folding.pe, part, folding.ram_style_thresholds))
    bill.circuit("matrix control", control_features(1, per_pe))
    return bill


_BILLS: dict[str, Callable[[Any, Folding, Part], Bill]] = {
    "MVAU": matrix_bill,
    "VVAU": matrix_bill,
    "Thresholding": _thresholding,
    "SlidingWindow": windows.sliding_window,
    "Padding": windows.padding,
    "PixelPadding": windows.pixel_padding,
    "DownSampler": windows.down_sampler,
    "Upsample": windows.upsample,
    "DepthToSpace": windows.depth_to_space,
    "MaxPool": pools.max_pool,
    "Pool": pools.pool,
    "GlobalAccPool": pools.global_pool,
    "LabelSelect": pools.label_select,
    "AddStreams": streams.add_streams,
    "ChannelwiseOp": streams.channelwise,
    "DuplicateStreams": streams.duplicate,
    "Concat": streams.concat,
    "DataWidthConverter": streams.width_converter,
    "Fifo": streams.fifo,
}


def cost(unit: Unit, folding: Folding, part: Part) -> UnitCost:
    """Resources, cycles and LUT terms of one unit with this folding on this part.

    Args:
        unit: Any kind of :mod:`brevitas_a2q.hw.ir`.
        folding: A legal folding of it (see :meth:`Unit.check`); not checked again here, a search calls this often.
        part: Decides where memories may go and what a DSP block does.

    Returns:
        The cost; its terms sum to its LUTs before rounding.

    Raises:
        PartError: If the folding asks for UltraRAM on a part without it.
    """
    return _BILLS[unit.kind](unit, folding, part).unit_cost(unit_cycles(unit, folding))


def price(unit: Unit, folding: Folding, part: Part) -> tuple[float, int, int, int]:
    """LUTs before rounding, BRAM18, URAM and DSP: what :func:`cost` says, without its terms, for searches."""
    bill = _BILLS[unit.kind](unit, folding, part)
    return bill.lut, bill.blocks.bram18, bill.blocks.uram, bill.blocks.dsp
