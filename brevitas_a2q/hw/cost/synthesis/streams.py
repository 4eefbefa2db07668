"""Units that pass a stream on: adders, copies, joins, width converters, FIFOs, one parameter per channel."""

from __future__ import annotations

from math import lcm

import numpy as np

from brevitas_a2q.hw.cost.synthesis.bill import Bill, counter_bits, wrapped_bits
from brevitas_a2q.hw.cost.synthesis.core import multiplier_bits
from brevitas_a2q.hw.cost.synthesis.unrolled import csd_digits
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import (
    AddStreams,
    ChannelwiseOp,
    Concat,
    DataWidthConverter,
    DuplicateStreams,
    Fifo,
    Folding,
)
from brevitas_a2q.hw.memory import place_memory

__all__ = ["add_streams", "channelwise", "concat", "duplicate", "fifo", "width_converter"]

_REGISTER_FIFO = 2  # words; a deeper one has a memory


def add_streams(unit: AddStreams, folding: Folding, part: Part) -> Bill:
    """PE adders, one LUT per input bit (the sum's top bit repeats the sign), and a handshake that joins two streams."""
    bill = Bill()
    bill.circuit("add streams", {"adders.carry": folding.pe * unit.input_type.bit_width, "handshake.each": 1})
    return bill


def duplicate(unit: DuplicateStreams, folding: Folding, part: Part) -> Bill:
    """One flag per copy that says whether its reader has taken the word."""
    bill = Bill()
    bill.circuit("duplicate streams", {"handshake.copies": unit.copies, "handshake.each": 1})
    return bill


def concat(unit: Concat, folding: Folding, part: Part) -> Bill:
    """All inputs at once, as wide as their channels: wires, and a handshake of two functions that see every input.

    With the output's two signals a function of up to 6 inputs is one LUT, each further LUT brings 5 more, and two
    functions of the same 5 inputs share one.
    """
    bill = Bill()
    signals = len(unit.input_channels) + 2
    bill.circuit("concat", {"handshake.gates": 1 if signals <= 5 else 2 * -(-(signals - 1) // 5)})
    return bill


def width_converter(unit: DataWidthConverter, folding: Folding, part: Part) -> Bill:
    """Gathers words up to the least common multiple of both widths, then parts them, both by shift registers.

    Gathering shifts whole words in and needs no multiplexer; parting loads and shifts, one 2:1 multiplexer per bit.
    """
    common = lcm(unit.input_width, unit.output_width)
    bill = Bill()
    if common > unit.input_width:
        ratio = common // unit.input_width
        bill.circuit("gathering", {"control.wrapped": wrapped_bits(ratio), "control.each": 1})
    if common > unit.output_width:
        shifted = common - unit.output_width
        ratio = common // unit.output_width
        bill.circuit("parting", {"shift.bits": shifted, "control.bits": counter_bits(ratio), "control.each": 1})
    if common == unit.input_width == unit.output_width:
        bill.circuit("duplicate streams", {"handshake.copies": 1, "handshake.each": 1})
    return bill


def fifo(unit: Fifo, folding: Folding, part: Part) -> Bill:
    """Two words are registers with a multiplexer; more are a memory with two pointers and a level."""
    bill = Bill()
    if unit.depth <= _REGISTER_FIFO:
        bill.circuit("register fifo", {"multiplexer.pairs": -(-unit.width // 2), "control.each": 1})
        return bill
    placed = place_memory(unit.depth, unit.width, folding.ram_style, part, writable=True)
    # In LUTs these are memories of 64 words, of which the write pointer selects one.
    groups = -(-unit.depth // 64) if placed.style == "distributed" else 1
    features = {"pointers.wrapped": wrapped_bits(unit.depth), "pointers.groups": groups - 1, "control.each": 1}
    bill.circuit("fifo", features)
    bill.memory("memory", placed)
    return bill


def channelwise(unit: ChannelwiseOp, folding: Folding, part: Part) -> Bill:
    """PE adders, multipliers or comparators with a parameter memory of ``channels / PE`` words."""
    bill = Bill()
    words = unit.channels // folding.pe
    parameter, data = unit.parameter_type.bit_width, unit.input_type.bit_width
    lanes, widest = folding.pe, max(parameter, data)
    control = {"control.bits": counter_bits(words), "control.each": 1}
    if unit.function == "mul" and unit.parameters is not None and (unit.parameters == unit.parameters[0]).all():
        bill.circuit("channelwise add", _constant_factor(int(unit.parameters[0]), lanes * unit.output_type.bit_width))
        return bill
    if unit.function == "mul":
        chained, short = multiplier_bits(parameter, data, parameter + data)
        rows = {"multipliers.carry": lanes * (chained + short), "multipliers.rows": lanes * (data - 1)}
        bill.circuit("channelwise multiply", {**rows, **control})
    elif unit.function == "add":
        bill.circuit("channelwise add", {"adders.carry": lanes * widest, **control})
    else:
        comparators = {"comparators.bits": lanes * widest, "comparators.each": lanes}
        bill.circuit("channelwise compare", {**comparators, **control})
    bill.memory("parameter memory", place_memory(words, folding.pe * parameter, folding.ram_style, part))
    return bill


def _constant_factor(factor: int, bits: int) -> dict[str, float]:
    """One factor for all channels: an adder for each canonical signed digit but the first, and one that negates.

    A power of two is wires, so that the output's register and its handshake remain.
    """
    digits = int(csd_digits(np.array([factor]))[0])
    adders = digits - 1 if factor > 0 else digits
    return {"adders.carry": bits * adders, "control.bits": 0, "control.each": 1}
