"""One HDL module with its parameters and memories: what a unit of the dataflow graph becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._ir import Folding, Graph, MemoryStyle, Unit
from brevitas_a2q.hw._memory import place_memory
from brevitas_a2q.rtl._memory_image import Memory

__all__ = ["Circuit", "Context", "Port", "Value", "kind_of", "value_type"]

Value = int | str


@dataclass(frozen=True)
class Port:
    """A stream's word at a unit: how many elements of which type."""

    elements: int
    type: IntType

    @property
    def width(self) -> int:
        """Bits of a word."""
        return self.elements * self.type.bit_width


@dataclass(frozen=True, eq=False)
class Circuit:
    """An HDL module that computes one unit. Parameters whose value is a string name memories by their key."""

    module: str
    parameters: Mapping[str, Value]
    inputs: tuple[Port, ...]
    output: Port
    copies: int = 1  # output streams
    memories: Mapping[str, Memory] = field(default_factory=dict)  # file name without the unit's prefix
    depth_cycles: int = 1  # registers between the last input word and the output word that needs it
    overflow: bool = False  # whether it has accumulators to watch
    source: str | None = None  # Verilog of a module that is the unit's own; its name is made unique


@dataclass(frozen=True, eq=False)
class Context:
    """What a circuit depends on beside its unit and folding."""

    graph: Graph
    foldings: Mapping[str, Folding]
    part: Part
    tree_levels: int = 3  # adders between two registers

    def in_blocks(
        self, words: int, bits: int, style: MemoryStyle, *, writable: bool = False, single_port: bool = False
    ) -> int:
        """Whether a memory goes to block RAM (1) or LUTs (0), by the same rule that the estimate prices it with."""
        placed = place_memory(words, bits, style, self.part, writable=writable, single_port=single_port)
        return int(placed.style != "distributed")

    def readers(self, unit: Unit) -> list[Unit]:
        """Units that read this one."""
        return [other for other in self.graph.units if unit.name in other.inputs]


def kind_of(dtype: IntType) -> int:
    """0 unsigned, 1 signed, 2 bipolar: as the HDL's KIND parameters say it."""
    return 2 if dtype.name == "BIPOLAR" else int(dtype.signed)


def value_type(dtype: IntType) -> IntType:
    """The type of a stream as plain integers: one that a bipolar one is decoded to."""
    return IntType("INT2") if dtype.name == "BIPOLAR" else dtype
