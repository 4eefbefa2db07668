"""Sums, copies and joins of streams, and one parameter per channel."""

from __future__ import annotations

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._ir import AddStreams, ChannelwiseOp, Concat, DuplicateStreams
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, Value, value_type
from brevitas_a2q.rtl._memory_image import Memory

__all__ = ["add_streams", "channelwise", "concat", "duplicate"]

_FUNCTIONS = ("add", "mul", "cmp_le", "cmp_ge")


def add_streams(unit: AddStreams, context: Context) -> Circuit:
    """The sum of two streams."""
    pe, read = context.foldings[unit.name].pe, value_type(unit.input_type)
    parameters = {"PE": pe, "A": read.bit_width, "SIGNED": int(read.signed), "OUT": unit.output_type.bit_width}
    port = Port(pe, read)
    return Circuit("add", parameters, (port, port), Port(pe, unit.output_type))


def duplicate(unit: DuplicateStreams, context: Context) -> Circuit:
    """Copies of a stream."""
    port = Port(context.foldings[unit.name].pe, unit.input_type)
    parameters = {"W": port.width, "N": unit.copies}
    return Circuit("duplicate", parameters, (port,), port, copies=unit.copies, depth_cycles=0)


def concat(unit: Concat, context: Context) -> Circuit:
    """Channels behind each other."""
    inputs = tuple(Port(channels, unit.input_type) for channels in unit.input_channels)
    output = Port(unit.channels, unit.output_type)
    return Circuit("concat", {"W": output.width, "N": len(inputs)}, inputs, output)


def channelwise(unit: ChannelwiseOp, context: Context) -> Circuit:
    """One parameter per channel. Values and parameters enter as signed integers."""
    if unit.parameters is None:
        raise RtlError("has no parameters", where=f"{unit.kind} {unit.name}", expected="one integer per channel")
    pe = context.foldings[unit.name].pe
    read = unit.input_type if unit.input_type.signed else IntType.of(unit.input_type.bit_width + 1, signed=True)
    read = value_type(read)
    held = [int(p).bit_length() + 1 for p in (unit.parameters.min(), unit.parameters.max())]
    bits = max(2, *held)
    parameters: dict[str, Value] = {
        "CF": unit.channels // pe,
        "PE": pe,
        "A": read.bit_width,
        "W": bits,
        "OUT": unit.output_type.bit_width,
        "FUNCTION": _FUNCTIONS.index(unit.function),
        "FILE": "p.mem",
    }
    memories = {"p.mem": Memory(unit.parameters.reshape(-1, pe), bits)}
    return Circuit(
        "channelwise", parameters, (Port(pe, read),), Port(pe, unit.output_type), memories=memories, depth_cycles=2
    )
