"""Sums, products, copies, joins and parts of streams, and one parameter per channel."""

from __future__ import annotations

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._cost.synthesis.dot_product import product_features
from brevitas_a2q.hw._ir import AddStreams, ChannelwiseOp, Concat, DuplicateStreams, MulStreams, SelectChannels
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, Value, value_type
from brevitas_a2q.rtl._memory_image import Memory

__all__ = ["add_streams", "channelwise", "concat", "duplicate", "multiply_streams", "select_channels"]

_FUNCTIONS = ("add", "mul", "cmp_le", "cmp_ge")


def add_streams(unit: AddStreams, context: Context) -> Circuit:
    """The sum of two streams."""
    pe, read = context.foldings[unit.name].pe, value_type(unit.input_type)
    parameters = {"PE": pe, "A": read.bit_width, "SIGNED": int(read.signed), "OUT": unit.output_type.bit_width}
    port = Port(pe, read)
    return Circuit("add", parameters, (port, port), Port(pe, unit.output_type))


def multiply_streams(unit: MulStreams, context: Context) -> Circuit:
    """The product of two streams, each of a type of its own."""
    pe = context.foldings[unit.name].pe
    first, second = (value_type(kind) for kind in unit.factors)
    parameters = {"PE": pe, "A": first.bit_width, "ASIGNED": int(first.signed)}
    parameters |= {"B": second.bit_width, "BSIGNED": int(second.signed), "OUT": unit.output_type.bit_width}
    parameters["SWAP"] = int(product_features(first, second, unit.output_type.bit_width)[0])
    return Circuit("multiply_streams", parameters, (Port(pe, first), Port(pe, second)), Port(pe, unit.output_type))


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


def select_channels(unit: SelectChannels, context: Context) -> Circuit:
    """Some channels of a whole pixel, in any order: wires and a register."""
    read, written = Port(unit.input_channels, unit.input_type), Port(unit.channels, unit.output_type)
    bits = unit.input_type.bit_width
    chosen = ", ".join(f"in_data[{channel * bits} +: {bits}]" for channel in reversed(unit.selected))
    source = f"""\
// Channels of a pixel by number. Rate: one pixel a cycle. Latency: one cycle.
`default_nettype none
module select (
    input wire clk, input wire rst,
    input wire [{read.width - 1}:0] in_data, input wire in_valid, output wire in_ready,
    output reg [{written.width - 1}:0] out_data, output reg out_valid, input wire out_ready);
  wire free = ~out_valid | out_ready;
  assign in_ready = free;
  always @(posedge clk) begin
    if (rst) out_valid <= 0; else if (free) out_valid <= in_valid;
    if (free) out_data <= {{{chosen}}};
  end
endmodule
`default_nettype wire
"""
    return Circuit("select", {}, (read,), written, source=source)


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
        "ROWS": _rows(read, bits, unit),
        "FILE": "p.mem",
    }
    memories = {"p.mem": Memory(unit.parameters.reshape(-1, pe), bits)}
    return Circuit(
        "channelwise", parameters, (Port(pe, read),), Port(pe, unit.output_type), memories=memories, depth_cycles=2
    )


def _rows(read: IntType, bits: int, unit: ChannelwiseOp) -> int:
    """How values are multiplied by parameters of so many bits; see ``channelwise.v``."""
    assert unit.parameters is not None
    if unit.function != "mul" or (unit.parameters == unit.parameters[0]).all():
        return 0
    by_value, _ = product_features(read, IntType.of(bits, signed=True), unit.output_type.bit_width)
    return 1 + by_value
