"""Pools and the selection of the highest labels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from brevitas_a2q.hw.cost.synthesis.bill import Bill, control_features, counter_bits
from brevitas_a2q.hw.cost.synthesis.unrolled import csd_digits
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import Folding, GlobalAccPool, LabelSelect, MaxPool, Pool
from brevitas_a2q.hw.memory import place_memory

__all__ = ["division_bits", "global_pool", "label_select", "max_pool", "pool"]


def max_pool(unit: MaxPool, folding: Folding, part: Part) -> Bill:
    """All channels at once: a comparator and a multiplexer per bit, and a buffer of one output row."""
    bits = unit.channels * unit.input_type.bit_width
    w = unit.input_dim[1]
    kh, kw = unit.kernel
    bill = Bill()
    bill.circuit("max pool", {"maximum.bits": bits, **control_features(-(-w // kw), kh, kw)})
    bill.memory("line buffer", place_memory(-(-w // kw), bits, folding.ram_style, part, writable=True))
    return bill


def pool(unit: Pool, folding: Folding, part: Part) -> Bill:
    """PE running maxima or sums over the window; an average also multiplies by the reciprocal of the window's size."""
    window = unit.kernel[0] * unit.kernel[1]
    bill = Bill()
    counters = control_features(window)
    if unit.function == "max":
        bill.circuit("pool maximum", {"maximum.bits": folding.pe * unit.input_type.bit_width, **counters})
        return bill
    width = unit.accumulator_bit_width or unit.input_type.bit_width + (window - 1).bit_length()
    bill.circuit("pool sum", {"sum.carry": folding.pe * width, **counters})
    if window & (window - 1):
        bill.circuit("division", {"division.bits": folding.pe * division_bits(width, window)})
    return bill


@lru_cache(maxsize=1024)
def division_bits(width: int, divisor: int) -> int:
    """Adder bits of a division by a constant: a product with its reciprocal to as many digits as the result needs.

    Example:
        >>> division_bits(8, 9)
        16
    """
    fraction = width + (divisor - 1).bit_length()
    reciprocal = -(-(1 << fraction) // divisor)
    return width * (int(csd_digits(np.array([reciprocal]))[0]) - 1)


def global_pool(unit: GlobalAccPool, folding: Folding, part: Part) -> Bill:
    """PE adders as wide as the sum, and one sum per channel in a memory of ``channels / PE`` words."""
    h, w = unit.input_dim
    words = unit.channels // folding.pe
    bits = folding.pe * unit.output_type.bit_width
    bill = Bill()
    bill.circuit("global pool", {"sum.carry": bits, **control_features(h * w, words)})
    bill.memory("sums", place_memory(words, bits, folding.ram_style, part, writable=True))
    return bill


def label_select(unit: LabelSelect, folding: Folding, part: Part) -> Bill:
    """A sorted list of the ``k`` highest; each of PE new labels is compared with all of them in one cycle."""
    index = counter_bits(unit.labels)
    stages = folding.pe * unit.k
    bill = Bill()
    features = {
        "maximum.bits": stages * unit.input_type.bit_width,
        "indices.bits": stages * index,
        **control_features(unit.labels // folding.pe),
    }
    bill.circuit("label select", features)
    return bill
