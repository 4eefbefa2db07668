"""Pools and the selection of the highest labels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from brevitas_a2q.hw.cost.synthesis.bill import Bill, counter_bits
from brevitas_a2q.hw.cost.synthesis.unrolled import csd_digits
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import Folding, GlobalAccPool, LabelSelect, MaxPool, Pool
from brevitas_a2q.hw.memory import place_memory

__all__ = ["division_features", "global_pool", "label_select", "max_pool", "pool"]

_COUNTED_IN_PLACE = 4


def max_pool(unit: MaxPool, folding: Folding, part: Part) -> Bill:
    """All channels at once: a comparator and a multiplexer per bit, and a buffer of one output row."""
    bits = unit.channels * unit.input_type.bit_width
    w = unit.input_dim[1]
    kw = unit.kernel[1]
    bill = Bill()
    # The first bit of a channel's comparison needs less than the following ones.
    features = {"maximum.bits": bits, "maximum.saved": unit.channels, "control.each": 1}
    bill.circuit("max pool", features)
    bill.memory("line buffer", place_memory(-(-w // kw), bits, folding.ram_style, part, writable=True))
    return bill


def pool(unit: Pool, folding: Folding, part: Part) -> Bill:
    """PE running maxima or sums over the window; an average also multiplies by the reciprocal of the window's size."""
    window = unit.kernel[0] * unit.kernel[1]
    bill = Bill()
    if unit.function == "max":
        bits = unit.input_type.bit_width
        # Up to two bits are compared and chosen in one function.
        features = {"maximum.bits": folding.pe * bits, "maximum.each": folding.pe * (bits > 2), "control.each": 1}
        bill.circuit("pool maximum", features)
        return bill
    width = unit.accumulator_bit_width or unit.input_type.bit_width + (window - 1).bit_length()
    bill.circuit("pool sum", _sums(folding.pe * width, window))
    if window & (window - 1):
        bill.circuit("division", division_features(width, window), folding.pe)
    return bill


def _sums(bits: int, count: int) -> dict[str, float]:
    """Adders that restart after ``count`` words: a counter of more than two bits no longer fits into their LUTs."""
    return {"sum.carry": bits, "sum.restart": bits if count > _COUNTED_IN_PLACE else 0, "control.each": 1}


@lru_cache(maxsize=1024)
def division_features(width: int, divisor: int) -> dict[str, float]:
    """Features of a division by a constant: a product with its reciprocal to as many digits as the result needs.

    One adder fewer than the reciprocal has canonical signed digits; the more bits it has set, the wider they get, as
    synthesis does not find all of those digits.

    Example:
        >>> division_features(8, 9)
        {'division.bits': 16, 'division.growth': 72}
    """
    fraction = width + (divisor - 1).bit_length()
    reciprocal = -(-(1 << fraction) // divisor)
    adders = int(csd_digits(np.array([reciprocal]))[0]) - 1
    return {"division.bits": width * adders, "division.growth": width * (reciprocal.bit_count() - 1) ** 2}


def global_pool(unit: GlobalAccPool, folding: Folding, part: Part) -> Bill:
    """PE adders as wide as the sum, and one sum per channel in a memory of ``channels / PE`` words."""
    h, w = unit.input_dim
    words = unit.channels // folding.pe
    bits = folding.pe * unit.output_type.bit_width
    bill = Bill()
    bill.circuit("global pool", _sums(bits, h * w))
    bill.memory("sums", place_memory(words, bits, folding.ram_style, part, writable=True))
    return bill


def label_select(unit: LabelSelect, folding: Folding, part: Part) -> Bill:
    """A sorted list of the ``k`` highest; each of PE new labels is compared with all of them in one cycle."""
    stages = folding.pe * unit.k
    bill = Bill()
    features = {
        "maximum.bits": stages * unit.input_type.bit_width,
        "control.bits": counter_bits(unit.labels // folding.pe),
        "control.each": 1,
    }
    bill.circuit("label select", features)
    return bill
