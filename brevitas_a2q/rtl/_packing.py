"""How many physical LUTs a synthesised netlist takes.

A slice holds LUT6 cells with two outputs: one function of six inputs, or two functions of five inputs in common. Yosys
counts functions, so its sums are about 1.3 times too high; this counts cells after pairing functions, and knows that a
bit of a carry chain occupies its cell (with the chain's data input free if it fits in the same five inputs).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import islice
from typing import Any

PACKING = 2  # counts that were kept by another way of packing are not taken
# Cells used by each LUT memory and shift register primitive (UG574, UltraScale CLB).
MEMORY_CELLS = {
    "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4, "RAM32M": 4, "RAM64M": 4,
    "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8, "RAM512X1S": 8,
    "RAM16X1S": 1, "RAM32X1S": 1, "RAM64X1S": 1, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
_LOOKED_AT = 200  # of a net's readers: all of a crowd's pairs would take a square of its size
_SHARED_INPUTS = 5


def pack(module: dict[str, Any]) -> dict[str, int]:
    """Counts of one flat module of a Yosys JSON netlist: cells packed, carry bits, memory cells, registers, blocks."""
    cells = module["cells"].values()
    kinds = Counter(cell["type"] for cell in cells)
    functions = _functions(cells)
    chain = [pair for cell in cells if cell["type"] in ("CARRY4", "CARRY8") for pair in _chain_inputs(cell)]
    on_chain = {select for select, _ in chain if isinstance(select, int)}
    absorbed: set[int] = set()
    for select, data in chain:
        known = select in functions and data in functions and data not in on_chain | absorbed
        if known and len(functions[select] | functions[data]) <= _SHARED_INPUTS:
            absorbed.add(data)
    carry = sum(out in on_chain for out in functions)
    loose = [inputs for out, inputs in functions.items() if out not in on_chain and out not in absorbed]
    full = sum(len(inputs) > _SHARED_INPUTS for inputs in loose)
    small = [inputs for inputs in loose if len(inputs) <= _SHARED_INPUTS]
    return {
        "lut_pack": kinds["LUT6_2"] + carry + full + len(small) - _pairs(small),
        "lut_carry": carry,
        "lutram": sum(MEMORY_CELLS.get(kind, 0) * count for kind, count in kinds.items()),
        "ff": sum(count for kind, count in kinds.items() if kind.startswith("FD")),
        "dsp": sum(count for kind, count in kinds.items() if kind.startswith("DSP") or "dsp_products" in kind),
        "bram18": sum(count * (2 if "36" in kind else 1) for kind, count in kinds.items() if kind.startswith("RAMB")),
    }


def _functions(cells: Any) -> dict[int, frozenset[int]]:
    """Nets each LUT function reads, by the net it drives."""
    found = {}
    for cell in cells:
        if re.fullmatch(r"(ROM_)?LUT[1-6]", cell["type"]):
            nets = (net for port, bits in cell["connections"].items() if port != "O" for net in bits)
            found[cell["connections"]["O"][0]] = frozenset(net for net in nets if isinstance(net, int))
    return found


def _chain_inputs(cell: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(s, d) for s, d in zip(cell["connections"]["S"], cell["connections"]["DI"], strict=True)
            if isinstance(s, int)]  # fmt: skip


def _pairs(functions: list[frozenset[int]]) -> int:
    """Greedy pairing: each function, the widest first, with the one it shares most inputs with."""
    order = sorted(functions, key=len, reverse=True)
    readers: dict[int, dict[int, None]] = defaultdict(dict)  # of each net, those that are left
    for index, inputs in enumerate(order):
        for net in inputs:
            readers[net][index] = None

    def take(index: int) -> None:
        left.remove(index)
        for net in order[index]:
            del readers[net][index]

    left = set(range(len(order)))
    pairs = 0
    for index, inputs in enumerate(order):
        if index not in left:
            continue
        take(index)
        shared = Counter(other for net in inputs for other in islice(readers[net], _LOOKED_AT))
        fitting = [other for other in shared if len(inputs | order[other]) <= _SHARED_INPUTS]
        if fitting:
            take(max(fitting, key=lambda other: shared[other]))
            pairs += 1
    return pairs
