"""Read-only memories as LUT cells, for counting, as FPGAs hold them: 64 words a LUT6, the slice's own multiplexers.

Left to Yosys, a memory of some thousand words becomes logic to be minimised: minutes of work for three times the LUTs.
Its multiplexers of more than 256 words become up to half as many LUTs again. Equal columns are stored once and constant
ones not at all. Memories of up to eight words stay as they are: their address takes three inputs of the logic that
reads them at most, so that they merge with it. Runs inside of Yosys' process (pyosys).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Final, TypeAlias

__all__ = ["ROM_LUT", "map_roms", "reduced"]

ROM_LUT: Final = "ROM_LUT"  # and its inputs: the cells' names, see synth/rom_luts.v
_FEWEST_WORDS: Final = 9  # of a memory that is mapped here
_LUT_INPUTS: Final = 6
_SLICE_MULTIPLEXERS: Final = {6: "MUXF7", 7: "MUXF8"}  # by the address bit that selects
_SLICE_BITS: Final = 8  # of an address in one slice
_PASSED: Final = 0b10  # the table of what is its one input
Signal: TypeAlias = Any  # one bit, a Yosys SigSpec


def reduced(table: int, inputs: int) -> tuple[int, tuple[int, ...]]:
    """A truth table without the inputs that it does not depend on, and which are left.

    Args:
        table: Bit ``i`` is the value for the inputs ``i``.
        inputs: How many there are.

    Example:
        >>> reduced(0b1100, 2), reduced(0b1111, 2)
        ((2, (1,)), (1, ()))
    """
    left = list(range(inputs))
    for place in reversed(range(inputs)):
        size = len(left)
        low = [i for i in range(1 << size) if not i >> place & 1]
        zero = [table >> i & 1 for i in low]
        if zero == [table >> (i | 1 << place) & 1 for i in low]:
            table = sum(bit << i for i, bit in enumerate(zero))
            del left[place]
    return table, tuple(left)


def map_roms(design: Any) -> None:
    """Map the read-only memories of all modules that ``rom_style`` puts into LUTs; they must be collected."""
    from pyosys import libyosys as ys

    for module in design.selected_modules():
        for cell in module.selected_cells():
            if cell.type.str() == "$mem_v2" and _is_rom(cell, ys):
                _Rom(module, cell, ys).map()


def _number(cell: Any, name: str, ys: Any) -> int:
    return int(cell.getParam(ys.IdString(f"\\{name}")).as_int())


def _is_rom(cell: Any, ys: Any) -> bool:
    if _number(cell, "WR_PORTS", ys) or _number(cell, "RD_PORTS", ys) != 1 or _number(cell, "RD_CLK_ENABLE", ys):
        return False
    style = cell.get_string_attribute(ys.IdString("\\rom_style"))
    return bool(style == "distributed" and _number(cell, "SIZE", ys) >= _FEWEST_WORDS)


class _Rom:
    def __init__(self, module: Any, cell: Any, ys: Any) -> None:
        self.module, self.cell, self.ys = module, cell, ys
        self.words, self.width = _number(cell, "SIZE", ys), _number(cell, "WIDTH", ys)
        self.address = self._bits(cell.getPort(ys.IdString("\\RD_ADDR")))
        self.prefix, self.numbers = cell.name.str(), count()
        self.known: dict[Any, Signal] = {}  # LUTs and multiplexers by what they compute; equal signals are one object
        self.constants = [ys.SigSpec(state, 1) for state in (ys.State.S0, ys.State.S1)]

    def map(self) -> None:
        """Replace the memory."""
        text = self.cell.getParam(self.ys.IdString("\\INIT")).as_string()[::-1].replace("x", "0")
        data = self._bits(self.cell.getPort(self.ys.IdString("\\RD_DATA")))
        for place, target in enumerate(data):
            column = text[place :: self.width][: self.words]
            self.module.connect(target, self._select(column, len(self.address)))
        self.module.remove(self.cell)

    def _bits(self, signal: Any) -> list[Signal]:
        return [signal.extract(i, 1) for i in range(signal.size())]

    def _select(self, column: str, bits: int) -> Signal:
        """The bit of a column that the lowest ``bits`` of the address choose.

        Up to 256 words the slice's multiplexers join LUTs; above them LUTs choose among four, where an odd address bit
        is left at the top among two.
        """
        if bits <= _LUT_INPUTS:
            return self._chosen(int(column[::-1], 2), (), 0, bits)
        step = 1 if bits <= _SLICE_BITS or (bits - _SLICE_BITS) % 2 else 2
        size = 1 << (bits - step)
        parts = [self._select(column[at : at + size], bits - step) for at in range(0, len(column), size)]
        if len(parts) == 3:  # the fourth is never asked for
            parts.append(parts[2])
        data = tuple({id(part): part for part in parts if not self._constant(part)}.values())
        if bits <= _SLICE_BITS and len(data) == len(parts) == 2:
            pins = [("I0", parts[0]), ("I1", parts[1]), ("S", self.address[bits - 1])]
            return self._cell(_SLICE_MULTIPLEXERS[bits - 1], pins, (*map(id, data), bits))
        selects = (len(parts) - 1).bit_length()  # two parts of four: the upper address bit is never set
        return self._chosen(self._table(parts, data), data, bits - step, selects)

    def _constant(self, signal: Signal) -> bool:
        return any(signal is c for c in self.constants)

    def _table(self, parts: Sequence[Signal], data: Sequence[Signal]) -> int:
        """The truth table that selects one of the parts; the inputs are the data, then the address bits above them."""
        places = [next((i for i, d in enumerate(data) if d is part), None) for part in parts]
        table = 0
        for number, (part, place) in enumerate(zip(parts, places, strict=True)):
            for inputs in range(1 << len(data)):
                bit = int(part is self.constants[1]) if place is None else inputs >> place & 1
                table |= bit << (number << len(data) | inputs)
        return table

    def _chosen(self, table: int, data: Sequence[Signal], place: int, bits: int) -> Signal:
        """A LUT of some signals and of so many address bits from ``place`` on, without those that it does not need."""
        table, left = reduced(table, len(data) + bits)
        if not left:
            return self.constants[table]
        inputs = [data[i] if i < len(data) else self.address[place + i - len(data)] for i in left]
        if len(inputs) == 1 and table == _PASSED:
            return inputs[0]
        pins = [(f"I{i}", signal) for i, signal in enumerate(inputs)]
        return self._cell(f"{ROM_LUT}{len(inputs)}", pins, (table, *map(id, inputs)))

    def _cell(self, kind: str, inputs: Sequence[tuple[str, Signal]], key: Any) -> Signal:
        if (kind, key) not in self.known:
            out = self._wire()
            cell = self.module.addCell(self._name(), self.ys.IdString(f"\\{kind}"))
            for name, signal in (*inputs, ("O", out)):
                cell.setPort(self.ys.IdString(f"\\{name}"), signal)
            self.known[kind, key] = out
        return self.known[kind, key]

    def _name(self) -> Any:
        return self.ys.IdString(f"{self.prefix}$lut{next(self.numbers)}")

    def _wire(self) -> Signal:
        return self.ys.SigSpec(self.module.addWire(self._name(), 1))
