"""Units that pass a stream on: adders, copies, joins, width converters, FIFOs, one parameter per channel."""

from __future__ import annotations

from math import lcm

from brevitas_a2q.hw.cost.synthesis.bill import Bill, counter_bits
from brevitas_a2q.hw.cost.synthesis.core import multiplier_bits
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
    """PE adders as wide as their result, and one handshake that joins two streams."""
    bill = Bill()
    bill.circuit("add streams", {"adders.bits": folding.pe * unit.output_type.bit_width, "handshake.each": 1})
    return bill


def duplicate(unit: DuplicateStreams, folding: Folding, part: Part) -> Bill:
    """One flag per copy that says whether its reader has taken the word."""
    bill = Bill()
    bill.circuit("duplicate streams", {"handshake.copies": unit.copies, "handshake.each": 1})
    return bill


def concat(unit: Concat, folding: Folding, part: Part) -> Bill:
    """All inputs at once, as wide as their channels: wires, and a handshake per input."""
    bill = Bill()
    bill.circuit("concat", {"handshake.inputs": len(unit.input_channels), "handshake.each": 1})
    return bill


def width_converter(unit: DataWidthConverter, folding: Folding, part: Part) -> Bill:
    """Gathers words up to the least common multiple of both widths, then parts them.

    Gathering writes registers in turn (enables only); parting shifts a loadable register, one 2:1 multiplexer per bit.
    """
    common = lcm(unit.input_width, unit.output_width)
    bill = Bill()
    if common > unit.input_width:
        ratio = common // unit.input_width
        bill.circuit("gathering", {"control.bits": counter_bits(ratio), "control.words": ratio, "control.each": 1})
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
        bill.circuit("register fifo", {"multiplexer.bits": unit.width, "control.each": 1})
        return bill
    bill.circuit("fifo", {"pointers.bits": counter_bits(unit.depth), "control.each": 1})
    bill.memory("memory", place_memory(unit.depth, unit.width, folding.ram_style, part, writable=True))
    return bill


def channelwise(unit: ChannelwiseOp, folding: Folding, part: Part) -> Bill:
    """PE adders, multipliers or comparators with a parameter memory of ``channels / PE`` words."""
    bill = Bill()
    words = unit.channels // folding.pe
    parameter, data, out = unit.parameter_type.bit_width, unit.input_type.bit_width, unit.output_type.bit_width
    features: dict[str, float] = {"control.bits": counter_bits(words), "control.each": 1}
    if unit.function == "mul":
        chained, short = multiplier_bits(parameter, data, out)
        features["multipliers.bits"] = folding.pe * (chained + short)
        features["multipliers.rows"] = folding.pe * (data - 1)
    elif unit.function == "add":
        features["adders.bits"] = folding.pe * out
    else:
        features["comparators.bits"] = folding.pe * max(parameter, data)
    bill.circuit("channelwise", features)
    bill.memory("parameter memory", place_memory(words, folding.pe * parameter, folding.ram_style, part))
    return bill
