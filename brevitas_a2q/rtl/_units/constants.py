"""A layer of constant weights as Verilog: no memory, no multiplier, one tree of adders for each output channel.

A weight is as many shifted copies of its input as it has canonical signed digits. The copies of a channel are added two
at a time in as few levels as a balanced tree has. On each level those of the same shift are added, whose sums are the
narrowest; one that is left over waits, or is added to one of another shift where too many would remain for the levels
above. Every adder is as wide as the exact range of its sum; low bits pass by it. A register stands behind every so many
levels of adders, and delays bring all to the same cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.rtl._circuit import kind_of

__all__ = ["Constants", "constant_layer", "digits_of"]


def digits_of(weight: int) -> list[tuple[int, bool]]:
    """Canonical signed digits as (place, whether negative).

    Example:
        >>> digits_of(7), digits_of(-3)
        ([(0, True), (3, False)], [(0, False), (2, True)])
    """
    plus, minus = (3 * abs(weight) & ~abs(weight)) >> 1, (abs(weight) & ~(3 * abs(weight))) >> 1
    places = range((3 * abs(weight)).bit_length())
    return [(p, bool(minus >> p & 1) != (weight < 0)) for p in places if (plus | minus) >> p & 1]


@dataclass(frozen=True)
class _Sum:
    """``(-1)^negative * name << shift``, ``name`` being a signed wire whose values lie in ``values``."""

    name: str
    shift: int
    negative: bool
    values: IntRange
    registers: int = 0  # behind the input's
    levels: int = 0  # adders since the last one

    @property
    def width(self) -> int:
        return required_bit_width(self.values.lo, self.values.hi)


@dataclass
class _Text:
    """The module's lines while it is written."""

    levels: int  # adders between two registers
    lines: list[str] = field(default_factory=list)
    delayed: dict[tuple[str, int], str] = field(default_factory=dict)
    names: count[int] = field(default_factory=count)

    def delay(self, term: _Sum, registers: int) -> _Sum:
        """The term as many registers later."""
        while term.registers < registers:
            key = (term.name, term.registers)
            if key not in self.delayed:
                name = self.delayed[key] = f"d{next(self.names)}"
                self.lines.append(f"  reg signed [{term.width - 1}:0] {name};")
                self.lines.append(f"  always @(posedge clk) if (en) {name} <= {term.name};")
            term = replace(term, name=self.delayed[key], registers=term.registers + 1, levels=0)
        return term

    def added(self, low: _Sum, high: _Sum) -> _Sum:
        """The sum of two, the first of the lower shift and with its sign; its low bits pass by the adder."""
        registers = max(low.registers, high.registers)
        low, high = self.delay(low, registers), self.delay(high, registers)
        apart, subtract = high.shift - low.shift, low.negative != high.negative
        ends = [high.values.lo << apart, high.values.hi << apart]
        if subtract:
            ends = [-ends[1], -ends[0]]
        values = IntRange(low.values.lo + ends[0], low.values.hi + ends[1])
        name = f"s{next(self.names)}"
        made = _Sum(name, low.shift, low.negative, values, registers, max(low.levels, high.levels) + 1)
        operator = "-" if subtract else "+"
        self.lines.append(f"  wire signed [{made.width - 1}:0] {name};")
        if apart == 0:
            self.lines.append(f"  assign {name} = {low.name} {operator} {high.name};")
        elif apart >= low.width:
            self.lines.append(f"  assign {name} = {low.name} {operator} ({high.name} <<< {apart});")
        else:
            upper = f"wire signed [{made.width - apart - 1}:0] {name}_h"
            self.lines.append(f"  {upper} = ({low.name} >>> {apart}) {operator} {high.name};")
            self.lines.append(f"  assign {name} = {{{name}_h, {low.name}[{apart - 1}:0]}};")
        return self.delay(made, registers + 1) if made.levels == self.levels else made

    def output(self, channel: int, total: _Sum | None, registers: int, accumulator: int) -> list[str]:
        """The register of a channel's sum; the condition under which it is not the exact sum, where it may not be."""
        self.lines.append(f"  reg signed [{accumulator - 1}:0] o{channel};")
        self.lines.append(f"  assign sums[{channel * accumulator} +: {accumulator}] = o{channel};")
        if total is None:
            self.lines.append(f"  always @(posedge clk) if (en) o{channel} <= 0;")
            return []
        total = self.delay(total, registers)
        exact, sign = total.width + total.shift + 1, "-" if total.negative else ""
        self.lines += [
            f"  wire signed [{exact - 1}:0] e{channel} = {total.name};",
            f"  wire signed [{exact - 1}:0] t{channel} = {sign}(e{channel} <<< {total.shift});",
            f"  always @(posedge clk) if (en) o{channel} <= t{channel};",
        ]
        if exact <= accumulator:
            return []
        self.lines.append(f"  reg signed [{exact - 1}:0] h{channel};")
        self.lines.append(f"  always @(posedge clk) if (en & CHECK != 0) h{channel} <= t{channel};")
        return [f"h{channel} != o{channel}"]

    def tree(self, terms: list[_Sum]) -> _Sum:
        """The sum of all terms."""
        while len(terms) > 1:
            terms = self.level(terms, 1 << ((len(terms) - 1).bit_length() - 1))
        return terms[0]

    def level(self, terms: list[_Sum], most: int) -> list[_Sum]:
        """The terms after one level of adders, of which at most so many may remain."""
        made, alone = list[_Sum](), list[_Sum]()
        for term in sorted(terms, key=lambda term: (term.shift, term.width)):
            if alone and alone[-1].shift == term.shift:
                made.append(self.added(alone.pop(), term))
            else:
                alone.append(term)
        while len(made) + len(alone) > most:
            made.append(self.added(alone.pop(0), alone.pop(0)))
        return made + alone


@dataclass(frozen=True)
class Constants:
    """A module's text, and the registers between its input and its sums."""

    text: str
    registers: int


def constant_layer(
    weights: IntArray, kind: IntType, accumulator: int, levels: int, thresholds: str | None
) -> Constants:
    """A module ``constant`` with the ports of ``matrix_unit.v`` that takes a whole vector in a word.

    Args:
        weights: Shape (channels, inputs).
        kind: Type of an input.
        accumulator: P, bits of a sum that leaves.
        levels: Adders between two registers.
        thresholds: Parameters of ``thresholds.v`` as Verilog, None for none.
    """
    text = _Text(levels)
    channels, inputs = weights.shape
    bits = kind.bit_width
    values = kind.range
    width = required_bit_width(values.lo, values.hi)
    decoded = {0: "{{1'b0, r{}}}", 1: "$signed(r{})", 2: "{{~r{}, 1'b1}}"}[kind_of(kind)]
    for i in (i for i in range(inputs) if weights[:, i].any()):
        text.lines.append(f"  reg [{bits - 1}:0] r{i};")
        text.lines.append(f"  always @(posedge clk) if (en) r{i} <= in_data[{i * bits} +: {bits}];")
        text.lines.append(f"  wire signed [{width - 1}:0] x{i} = {decoded.format(i)};")
    sums: list[_Sum | None] = []
    for row in weights.tolist():
        terms = [_Sum(f"x{i}", p, n, values) for i, w in enumerate(row) if w for p, n in digits_of(int(w))]
        sums.append(text.tree(terms) if terms else None)
    registers = max((s.registers for s in sums if s is not None), default=0)
    flags = []
    for channel, total in enumerate(sums):
        flags += text.output(channel, total, registers, accumulator)
    port = _Port(inputs * bits, channels * accumulator, registers, thresholds)
    return Constants("\n".join(_module(port, text.lines, flags)), registers)


@dataclass(frozen=True)
class _Port:
    """Bits of the input and of all sums, registers between them, and parameters of the thresholds."""

    inputs: int
    sums: int
    registers: int
    thresholds: str | None


def _module(port: _Port, lines: list[str], flags: list[str]) -> list[str]:
    differs, registers = " | ".join(f"({flag})" for flag in flags) or "1'b0", port.registers
    head = [
        "// A layer of constant weights: adders only. Rate: one vector a cycle.",
        "// Ports: one stream in and one out (data, valid, ready); `overflow` is read in simulation only.",
        f"// Latency: {registers + 2} cycles, and those of the thresholds.",
        "// Resources: a LUT a bit of every adder but the low bits that pass by it; registers between levels.",
        "`default_nettype none",
        'module constant #(parameter CHECK = 0, parameter OUT = 1, parameter FILE = "t") (',
        "    input wire clk, input wire rst,",
        f"    input wire [{port.inputs - 1}:0] in_data, input wire in_valid, output wire in_ready,",
        "    output wire [OUT-1:0] out_data, output wire out_valid, input wire out_ready, output wire overflow);",
        f"  wire [{port.sums - 1}:0] sums;",
        f"  reg [{registers + 1}:0] valid;",
        "  wire sum_ready;",
        f"  wire sum_valid = valid[{registers + 1}];",
        "  wire en = ~sum_valid | sum_ready;",
        "  assign in_ready = en;",
        "  always @(posedge clk) if (rst) valid <= 0; else if (en) valid <= {valid, in_valid};",
        f"  assign overflow = CHECK != 0 & sum_valid & en & ({differs});",
    ]
    if port.thresholds is None:
        tail = ["  assign out_data = sums; assign out_valid = sum_valid; assign sum_ready = out_ready;"]
    else:
        tail = [
            f"  thresholds #({port.thresholds}) codes (.clk(clk), .rst(rst),",
            "      .in_data(sums), .in_valid(sum_valid), .in_ready(sum_ready),",
            "      .out_data(out_data), .out_valid(out_valid), .out_ready(out_ready));",
        ]
    return [*head, *lines, *tail, "endmodule", "`default_nettype wire", ""]
