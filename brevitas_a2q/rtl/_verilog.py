"""The top module of a netlist: AXI-Stream ports outside, valid and ready inside, and what a test bench observes."""

from __future__ import annotations

from brevitas_a2q.rtl._netlist import Instance, Netlist, Stream

__all__ = ["LEAST_PORT", "TOP", "axis_names", "padded", "top_module"]

TOP = "accelerator"
LEAST_PORT = 96  # bits of an observed port: three words, so that simulators hold all of them as arrays


def padded(width: int) -> int:
    """Whole bytes, as AXI-Stream has them."""
    return -(-width // 8) * 8


def axis_names(netlist: Netlist) -> dict[str, str]:
    """AXI-Stream prefix of each output unit."""
    names = list(netlist.outputs)
    return {name: "m_axis" if len(names) == 1 else f"m_axis_{i}" for i, name in enumerate(names)}


def top_module(netlist: Netlist) -> str:
    """Verilog-2005 of the accelerator.

    With the macro OBSERVE it has further ports for a test bench: the words that every unit writes, which streams moved
    in a cycle, and the overflow flags, for which CHECK = 1 adds exact accumulators.
    """
    lines = [
        "// Written by brevitas_a2q. One word a cycle at most enters and leaves; see the headers of the modules.",
        "`default_nettype none",
        f"module {TOP} #(parameter CHECK = 0) (",
        "    input wire aclk, input wire aresetn,",
        f"    input wire [{padded(netlist.input.port.width) - 1}:0] s_axis_tdata, input wire s_axis_tvalid,"
        " output wire s_axis_tready",
    ]
    for unit, prefix in axis_names(netlist).items():
        width = padded(netlist.outputs[unit].port.width)
        lines.append(
            f"    , output wire [{width - 1}:0] {prefix}_tdata, output wire {prefix}_tvalid, input wire {prefix}_tready"
        )
    lines += ["`ifdef OBSERVE", *_observed_ports(netlist), "`endif", ");"]
    lines += ["  reg rst;", "  always @(posedge aclk) rst <= ~aresetn;"]
    for stream in _streams(netlist):
        lines.append(f"  wire [{stream.port.width - 1}:0] {stream.name}_data;")
        lines.append(f"  wire {stream.name}_valid, {stream.name}_ready;")
    source = netlist.input.name
    lines += [
        f"  assign {source}_data = s_axis_tdata[{netlist.input.port.width - 1}:0];",
        f"  assign {source}_valid = s_axis_tvalid & ~rst;",
        f"  assign s_axis_tready = {source}_ready & ~rst;",
    ]
    if netlist.accumulators:
        lines.append(f"  wire [{len(netlist.accumulators) - 1}:0] overflow;")
    watched = {instance.name: i for i, instance in enumerate(netlist.accumulators)}
    for instance in netlist.instances:
        lines += _instance(instance, watched.get(instance.name))
    for unit, prefix in axis_names(netlist).items():
        stream = netlist.outputs[unit]
        lines += [
            f"  assign {prefix}_tdata = {stream.name}_data;",
            f"  assign {prefix}_tvalid = {stream.name}_valid;",
            f"  assign {stream.name}_ready = {prefix}_tready;",
        ]
    lines += ["`ifdef OBSERVE", *_observations(netlist), "`endif", "endmodule", "`default_nettype wire", ""]
    return "\n".join(lines)


def _streams(netlist: Netlist) -> list[Stream]:
    written = [stream for instance in netlist.instances for stream in instance.outputs]
    return [netlist.input, *written]


def _instance(instance: Instance, flag: int | None) -> list[str]:
    parameters = {k: f'"{v}"' if isinstance(v, str) else str(v) for k, v in instance.parameters.items()}
    if flag is not None:
        parameters["CHECK"] = "CHECK"
    values = ", ".join(f".{key}({value})" for key, value in parameters.items())
    a, q = instance.inputs, instance.outputs
    if instance.module == "cast":
        return [
            f"  cast #({values}) {instance.name} (.in_data({a[0].name}_data), .out_data({q[0].name}_data));",
            f"  assign {q[0].name}_valid = {a[0].name}_valid;",
            f"  assign {a[0].name}_ready = {q[0].name}_ready;",
        ]
    extra = f", .overflow(overflow[{flag}])" if flag is not None else ""
    copies = [f"  assign {stream.name}_data = {q[0].name}_data;" for stream in q[1:]]
    return [
        f"  {instance.module} #({values}) {instance.name} (.clk(aclk), .rst(rst),",
        f"      .in_data({_joined(a, 'data')}), .in_valid({_joined(a, 'valid')}), .in_ready({_joined(a, 'ready')}),",
        f"      .out_data({q[0].name}_data), .out_valid({_joined(q, 'valid')}),",
        f"      .out_ready({_joined(q, 'ready')}){extra});",
        *copies,
    ]


def _joined(streams: tuple[Stream, ...], wire: str) -> str:
    """Several streams' wires as one, the first in the low bits."""
    names = [f"{stream.name}_{wire}" for stream in reversed(streams)]
    return names[0] if len(names) == 1 else f"{{{', '.join(names)}}}"


def _observed_ports(netlist: Netlist) -> list[str]:
    ports = [
        f"    , output wire [{max(LEAST_PORT, stream.port.width) - 1}:0] observe_data_{i}"
        for i, stream in enumerate(netlist.streams.values())
    ]
    counts = {"moved": len(netlist.streams), "put": len(netlist.fifos), "got": len(netlist.fifos)}
    counts["overflow"] = len(netlist.accumulators)
    return ports + [f"    , output wire [{max(LEAST_PORT, n) - 1}:0] observe_{name}" for name, n in counts.items()]


def _observations(netlist: Netlist) -> list[str]:
    def moves(streams: list[Stream]) -> str:
        return ", ".join(f"{s.name}_valid & {s.name}_ready" for s in reversed(streams)) or "1'b0"

    lines = [f"  assign observe_data_{i} = {s.name}_data;" for i, s in enumerate(netlist.streams.values())]
    lines.append(f"  assign observe_moved = {{{moves(list(netlist.streams.values()))}}};")
    lines.append(f"  assign observe_put = {{{moves([f.inputs[0] for f in netlist.fifos])}}};")
    lines.append(f"  assign observe_got = {{{moves([f.outputs[0] for f in netlist.fifos])}}};")
    lines.append(f"  assign observe_overflow = {'overflow' if netlist.accumulators else '0'};")
    return lines
