"""FINN's units as Vivado maps them, as a cost model: ``--target finn``.

Kinds whose FINN unit nobody has published counts of are priced as our circuits are, and say so in the names of their
terms.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.model import CostModel
from brevitas_a2q.hw._cost.model import cost as circuit_cost
from brevitas_a2q.hw._cost.model import price as circuit_price
from brevitas_a2q.hw._cost.result import CostTerm, Resources, UnitCost
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._finn.minimize import minimize_weights
from brevitas_a2q.hw._finn.unit import Version
from brevitas_a2q.hw._ir import (
    DataWidthConverter,
    Fifo,
    Folding,
    LabelSelect,
    MatrixUnit,
    MaxPool,
    Padding,
    Pool,
    SlidingWindow,
    Thresholding,
    Unit,
)
from brevitas_a2q.hw._memory import uram_count
from brevitas_a2q.hw._vivado.unit import vivado_unit

__all__ = ["published_unit", "vivado_model"]

_TERM: Final = "as Vivado maps it"
_DEEPEST_SHIFT_REGISTERS: Final = 256  # words; FINN's max_qsrl_depth


def published_unit(
    unit: Unit, folding: Folding, part: Part, version: Version = "main"
) -> tuple[str, dict[str, Any]] | None:
    """FINN's op type and parameters of a unit, by the names of :func:`vivado_unit`; None for kinds without a law."""
    bits = unit.input_type.bit_width
    match unit:
        case MatrixUnit():
            return _matrix(unit, folding, part, version)
        case SlidingWindow():
            return "ConvolutionInputGenerator_rtl", _window(unit, folding)
        case Padding():
            pads = dict(zip(("T", "L", "BO", "R"), unit.pads, strict=True))
            size = {"H": unit.input_dim[0], "W": unit.input_dim[1], "C": unit.channels, "SIMD": folding.simd, "A": bits}
            return "FMPadding_rtl", {**pads, **size}
        case Thresholding():
            steps = int(unit.thresholds.shape[1])
            sizes = {"C": unit.channels, "PE": folding.pe, "A": bits, "T": bits, "steps": steps}
            return "Thresholding_rtl", {**sizes, "ram": folding.ram_style_thresholds}
        case MaxPool():
            channels = unit.channels  # all of them in a word
            return "StreamingMaxPool_hls", {"W": unit.input_dim[1], "C": channels, "PE": channels, "A": bits}
        case Pool():
            return "Pool_hls", {"PE": folding.pe, "A": bits, "acc": unit.accumulator_bit_width}
        case LabelSelect():
            return "LabelSelect_hls", {"L": unit.labels, "PE": folding.pe, "K": unit.k, "A": bits}
        case DataWidthConverter():
            into, out = unit.input_width, unit.output_width
            style = "rtl" if into % out == 0 or out % into == 0 else "hls"
            return f"StreamingDataWidthConverter_{style}", {"IN": into, "OUT": out}
        case Fifo():
            deep = unit.depth > _DEEPEST_SHIFT_REGISTERS
            depth = 1 << (unit.depth - 1).bit_length() if deep else unit.depth
            return "StreamingFIFO_rtl", {"W": unit.width, "D": depth, "impl": "vivado" if deep else "rtl"}
    return None


def _window(unit: SlidingWindow, folding: Folding) -> dict[str, Any]:
    names = ("H", "W", "OH", "OW", "KH", "KW", "SH", "SW", "DH", "DW")
    sizes = (*unit.input_dim, *unit.output_dim, *unit.kernel, *unit.stride, *unit.dilation)
    channels = {"C": unit.channels, "SIMD": folding.simd, "A": unit.input_type.bit_width}
    style = {"ram": folding.ram_style, "pw": int(folding.parallel_window), "dw": int(unit.depthwise)}
    return {**dict(zip(names, sizes, strict=True)), **channels, **style}


def _matrix(unit: MatrixUnit, folding: Folding, part: Part, version: Version) -> tuple[str, dict[str, Any]] | None:
    if folding.compute == "unrolled":
        return None
    rtl = folding.compute == "dsp" and unit.rtl_multipliers(part)
    parameters = {
        "MW": unit.products,
        "MH": unit.outputs,
        "PE": folding.pe,
        "SIMD": folding.simd,
        "W": _weight_bits(unit),
        "A": unit.input_type.bit_width,
        "AS": int(unit.input_type.signed),
        "P": unit.accumulator_type.bit_width,
        "B": 0 if unit.thresholds is None else (int(unit.thresholds.shape[1])).bit_length(),
        "ram": folding.ram_style,
        "res": "dsp" if folding.compute == "dsp" else "lut",
        "rtl": "main" if version == "main" else "dev",
    }
    return ("MVAU_rtl" if rtl else "MVAU_hls"), parameters


def _weight_bits(unit: MatrixUnit) -> int:
    """Bits of a weight as FINN builds it: its own type for the weights' values, but for layers of XNOR units.

    Two-valued weights of -1 and 1 take two bits in front of anything but bipolar inputs.
    """
    kind = "BIPOLAR"
    if unit.weight_type.name == unit.input_type.name == kind:
        return 1
    found = minimize_weights("MVAU_hls", {"weightDataType": unit.weight_type.name}, unit.weights)["weightDataType"]
    return max(IntType.parse(found).bit_width, 2 if unit.weight_type.name == kind else 1)


def _cost(unit: Unit, folding: Folding, part: Part, version: Version) -> UnitCost:
    found = published_unit(unit, folding, part, version)
    if found is None:
        return circuit_cost(unit, folding, part)
    counted = vivado_unit(*found, part)
    bram18, uram = counted.bram18, 0
    if isinstance(unit, MatrixUnit) and folding.ram_style == "ultra":
        words, width = unit.weight_words(folding), unit.weight_bits(folding)
        uram = uram_count(words, width)
        bram18 = vivado_unit(found[0], {**found[1], "ram": "streamed"}, part).bram18
    if isinstance(unit, SlidingWindow) and folding.ram_style == "ultra":
        blocks = unit.bill(folding, part).blocks
        bram18, uram = blocks.bram18, blocks.uram
    used = Resources(counted.lut, bram18, uram, counted.dsp)
    terms = (CostTerm(_TERM, counted.lut, "fitted", counted.band),)
    return UnitCost(used, _cycles(unit, folding), terms, counted.ff)


def _price(unit: Unit, folding: Folding, part: Part, version: Version) -> tuple[float, int, int, int]:
    if published_unit(unit, folding, part, version) is None:
        return circuit_price(unit, folding, part)
    used = _cost(unit, folding, part, version).resources
    return used.lut, used.bram18, used.uram, used.dsp


def _cycles(unit: Unit, folding: Folding) -> int:
    """FINN's max pool of images writes its row of maxima while it reads nothing; its parallel window starts two words
    later."""
    if isinstance(unit, MaxPool) and unit.input_dim[1] > 1:
        return unit.cycles(folding) + unit.pixels
    if isinstance(unit, SlidingWindow):
        late = 2 if folding.parallel_window or unit.taps == 1 else 0
        return max(unit.finn_cycles(folding), unit.cycles(folding)) + late
    return unit.cycles(folding)


def vivado_model(unrolled: bool = False, version: Version = "main") -> CostModel:
    """FINN's units at the count that Vivado gives.

    Args:
        unrolled: Whether a search may choose units of constant weights.
        version: FINN branch whose RTL is built; finn-plus has dev's.
    """
    priced, costed = partial(_price, version=version), partial(_cost, version=version)
    return CostModel("vivado", costed, priced, _cycles, far_fifos=True, unrolled=unrolled)
