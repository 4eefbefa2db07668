"""An unrolled layer as Verilog: every weight a constant, one tree of adders per output channel.

A weight is as many shifted copies of its input as it has canonical signed digits. The copies of a channel are added two
at a time, those of the lowest shift first, so that low bits pass by; every adder is as wide as the exact range of its
sum. Inputs and sums are registered.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange, required_bit_width

__all__ = ["digits_of", "layer"]


@dataclass(frozen=True)
class _Sum:
    """``(-1)^negative * name << shift``, ``name`` being a signed wire whose values lie in ``values``."""

    name: str
    shift: int
    negative: bool
    values: IntRange

    @property
    def width(self) -> int:
        return required_bit_width(self.values.lo, self.values.hi)


def digits_of(weight: int) -> list[tuple[int, bool]]:
    """Canonical signed digits as (place, whether negative).

    Example:
        >>> digits_of(7), digits_of(-3)
        ([(0, True), (3, False)], [(0, False), (2, True)])
    """
    plus, minus = (3 * abs(weight) & ~abs(weight)) >> 1, (abs(weight) & ~(3 * abs(weight))) >> 1
    places = range((3 * abs(weight)).bit_length())
    return [(p, bool(minus >> p & 1) != (weight < 0)) for p in places if (plus | minus) >> p & 1]


def layer(name: str, weights: IntArray, bits: int, *, signed: bool = False) -> str:
    """Verilog of a module with the ports ``clk``, ``x`` (all inputs, the first in the low bits) and ``sums``.

    Args:
        name: Of the module.
        weights: Shape (channels, inputs).
        bits: Of an input.
        signed: Whether inputs are.
    """
    values = IntRange(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else IntRange(0, (1 << bits) - 1)
    width = required_bit_width(values.lo, values.hi)
    body, ends, place = [], [], 0
    used = [i for i in range(weights.shape[1]) if weights[:, i].any()]
    for i in used:
        body += [f"  reg [{bits - 1}:0] r{i};", f"  always @(posedge clk) r{i} <= x[{i * bits} +: {bits}];"]
        value = f"$signed(r{i})" if signed else f"{{1'b0, r{i}}}"
        body += [f"  wire signed [{width - 1}:0] x{i} = {value};"]
    for channel, row in enumerate(weights.tolist()):
        names = (f"c{channel}_{i}" for i in count())
        terms = [_Sum(f"x{i}", p, n, values) for i, w in enumerate(row) for p, n in digits_of(int(w))]
        if not terms:
            continue
        total = _tree(terms, names, body)
        ends += [f"  assign sums[{place} +: {total.width + total.shift}] = o{channel};"]
        body += [f"  reg signed [{total.width + total.shift - 1}:0] o{channel};"]
        sign = "-" if total.negative else ""
        body += [f"  always @(posedge clk) o{channel} <= {sign}({total.name} <<< {total.shift});"]
        place += total.width + total.shift
    head = f"module {name} (input wire clk, input wire [{weights.shape[1] * bits - 1}:0] x,"
    return "\n".join([head, f"  output wire [{max(1, place) - 1}:0] sums);", *body, *ends, "endmodule", ""])


def _tree(terms: list[_Sum], names: Iterator[str], body: list[str]) -> _Sum:
    """Adds up all terms; the lines of Verilog go to ``body``."""
    order = count()
    heap = [(t.shift, t.width, next(order), t) for t in terms]
    heapq.heapify(heap)
    while len(heap) > 1:
        low, high = heapq.heappop(heap)[3], heapq.heappop(heap)[3]
        made = _added(low, high, next(names), body)
        heapq.heappush(heap, (made.shift, made.width, next(order), made))
    return heap[0][3]


def _added(low: _Sum, high: _Sum, name: str, body: list[str]) -> _Sum:
    """The sum of two, the first of the lower shift and with its sign; its low bits pass by the adder."""
    apart, subtract = high.shift - low.shift, low.negative != high.negative
    ends = [high.values.lo << apart, high.values.hi << apart]
    if subtract:
        ends = [-ends[1], -ends[0]]
    values = IntRange(low.values.lo + ends[0], low.values.hi + ends[1])
    made = _Sum(name, low.shift, low.negative, values)
    operator = "-" if subtract else "+"
    body.append(f"  wire signed [{made.width - 1}:0] {name};")
    if apart == 0:
        body.append(f"  assign {name} = {low.name} {operator} {high.name};")
    elif apart >= low.width:
        body.append(f"  assign {name} = {low.name} {operator} ({high.name} <<< {apart});")
    else:
        body.append(
            f"  wire signed [{made.width - apart - 1}:0] {name}_h = ({low.name} >>> {apart}) {operator} {high.name};"
        )
        body.append(f"  assign {name} = {{{name}_h, {low.name}[{apart - 1}:0]}};")
    return made
