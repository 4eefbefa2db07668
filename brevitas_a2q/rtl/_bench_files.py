"""What a test bench needs beside the accelerator: the words of every unit, and the design in the bench's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from brevitas_a2q._files import write_atomically
from brevitas_a2q.rtl._netlist import Netlist
from brevitas_a2q.rtl._verilog import LEAST_PORT, TOP, axis_names, padded

__all__ = ["Plan", "Tap", "bench_source", "verilog_bench", "write_plan", "write_vectors"]


@dataclass(frozen=True)
class Tap:
    """What one unit writes."""

    unit: str
    width: int  # bits of a word
    total: int  # words of all images
    per_image: int
    output: bool  # whether it leaves the accelerator


@dataclass(frozen=True)
class Plan:
    """What is sent and what is expected."""

    images: int
    input_width: int
    input_per_image: int
    taps: tuple[Tap, ...]
    fifos: int
    accumulators: int
    patience: int  # cycles without any movement after which a run is given up

    def text(self) -> str:
        """The file that the benches read."""
        head = (-(-self.input_width // 32), self.input_per_image, len(self.taps), self.fifos, self.accumulators)
        lines = [" ".join(map(str, (*head, self.patience)))]
        lines += [f"{tap.width} {tap.total} {tap.per_image} {int(tap.output)}" for tap in self.taps]
        return "\n".join(lines) + "\n"


def write_plan(plan: Plan, folder: Path) -> None:
    """``plan.txt``."""
    write_atomically(folder / "plan.txt", plan.text())


def write_vectors(
    folder: Path, words: npt.NDArray[Any], expected: Mapping[str, npt.NDArray[Any]], *, text: bool = False
) -> None:
    """Input and expected words, binary, and as hexadecimal text for benches in Verilog.

    Args:
        folder: Where they go.
        words: Of the input, as 32-bit pieces; shape (words, pieces).
        expected: The same of every unit, in the order of the taps.
        text: Whether the text is wanted too.
    """
    for name, array in (("input", words), *((f"expected_{i}", a) for i, a in enumerate(expected.values()))):
        write_atomically(folder / f"{name}.bin", np.ascontiguousarray(array, dtype="<u4").tobytes())
        if text:
            lines = [row.tobytes()[::-1].hex() for row in np.ascontiguousarray(array, dtype="<u4")]
            write_atomically(folder / f"{name}.hex", "\n".join(lines) + "\n")


def bench_source(name: str) -> str:
    """A file of the benches that come with the package."""
    return (files("brevitas_a2q.rtl") / "bench" / name).read_text(encoding="utf-8")


def verilog_bench(netlist: Netlist, plan: Plan, folder: Path) -> str:
    """A test bench in Verilog for any simulator; parameters GAP, STALL (permille) and SEED."""
    width, axes = padded(netlist.input.port.width), axis_names(netlist)
    lines = [
        "// Written by brevitas_a2q.",
        "`timescale 1ns/1ps",
        "module bench;",
        "  parameter GAP = 0, STALL = 0, SEED = 1;",
        "  reg clk, resetn, enabled, ready; reg [31:0] cycle; integer seed, idle;",
        f"  wire [{width - 1}:0] in_data; wire in_valid, in_ready;",
        f"  wire [{max(LEAST_PORT, len(plan.taps)) - 1}:0] moved;",
        f"  wire [{max(LEAST_PORT, plan.fifos) - 1}:0] put, got;",
        f"  wire [{max(LEAST_PORT, plan.accumulators) - 1}:0] overflow;",
        f"  wire [{len(plan.taps) - 1}:0] complete;",
    ]
    lines += [f"  wire [{max(LEAST_PORT, tap.width) - 1}:0] data_{i};" for i, tap in enumerate(plan.taps)]
    ports = [".aclk(clk), .aresetn(resetn)"]
    ports += [".s_axis_tdata(in_data), .s_axis_tvalid(in_valid), .s_axis_tready(in_ready)"]
    ports += [f".{prefix}_tready(ready)" for prefix in axes.values()]
    ports += [f".observe_data_{i}(data_{i})" for i in range(len(plan.taps))]
    ports += [".observe_moved(moved), .observe_put(put), .observe_got(got), .observe_overflow(overflow)"]
    lines.append(f"  {TOP} #(.CHECK(1)) dut ({', '.join(ports)});")
    source = f".W({width}), .TOTAL({plan.images * plan.input_per_image}), .PER_IMAGE({plan.input_per_image})"
    lines.append(
        f'  words_in #({source}, .FILE("{folder}/input.hex"), .SEED(SEED)) source (.clk(clk), .enabled(enabled),'
        " .gap(GAP), .ready(in_ready), .data(in_data), .valid(in_valid), .cycle(cycle));"
    )
    reports = []
    for i, tap in enumerate(plan.taps):
        values = f".W({tap.width}), .TOTAL({tap.total}), .PER_IMAGE({tap.per_image}), .INDEX({i})"
        lines.append(
            f'  words_out #({values}, .OUTPUT({int(tap.output)}), .FILE("{folder}/expected_{i}.hex")) tap_{i}'
            f" (.clk(clk), .enabled(enabled), .data(data_{i}[{tap.width - 1}:0]), .moved(moved[{i}]),"
            f" .complete(complete[{i}]), .cycle(cycle));"
        )
        reports.append(f"tap_{i}")
    for i in range(plan.fifos):
        wires = f".clk(clk), .enabled(enabled), .put(put[{i}]), .got(got[{i}])"
        lines.append(f"  fill #(.INDEX({i})) fill_{i} ({wires});")
        reports.append(f"fill_{i}")
    for i in range(plan.accumulators):
        lines.append(f"  flag #(.INDEX({i})) flag_{i} (.clk(clk), .enabled(enabled), .overflow(overflow[{i}]));")
        reports.append(f"flag_{i}")
    lines += [
        "  always #5 clk = ~clk;",
        "  initial begin",
        "    seed = SEED; clk = 0; resetn = 0; enabled = 0; ready = 0; cycle = 0; idle = 0;",
        "    repeat (4) @(posedge clk); resetn <= 1; repeat (2) @(posedge clk); enabled <= 1;",
        "  end",
        "  always @(posedge clk) begin",
        "    ready <= $unsigned($random(seed)) % 1000 >= STALL;",
        "    if (enabled) begin",
        "      cycle <= cycle + 1;",
        "      idle = |moved | (in_valid & in_ready) ? 0 : idle + 1;",
        f"      if (&complete || idle > {plan.patience}) begin",
        *(f"        {name}.report;" for name in reports),
        '        $display("CYCLES %0d %0d", cycle, &complete); $finish;',
        "      end",
        "    end",
        "  end",
        "endmodule",
        "",
    ]
    return "\n".join(lines)
