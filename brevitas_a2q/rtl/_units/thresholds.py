"""Thresholds as the memories of a binary search."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.hw._ir import Thresholding
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, kind_of, value_type
from brevitas_a2q.rtl._memory_image import Memory

__all__ = ["SearchTables", "search_tables", "thresholding"]


class SearchTables:
    """The memories of one unit's searches.

    Args:
        table: Thresholds, shape (channels, steps); any order along steps.
        values: What is compared with them.
        pe: Channels searched at once; channel c is lane c % pe, word c // pe.

    Attributes:
        bits: Bits that count the thresholds, which is the number of stages.
        width: Bits of a stored threshold (which is less by one).
    """

    def __init__(self, table: IntArray, values: IntRange, pe: int) -> None:
        steps = table.shape[1]
        self.pe, self.bits = pe, steps.bit_length()
        # A value x reaches t where x > t - 1; below the lowest value nothing changes, nor above the highest.
        rising = np.clip(np.sort(table, axis=1) - 1, values.lo - 1, values.hi)
        never = np.full((len(table), (1 << self.bits) - 1 - steps), values.hi, np.int64)
        self.stored = np.concatenate([rising, never], axis=1)
        self.width = required_bit_width(int(self.stored.min()), int(self.stored.max()))

    def files(self) -> Iterator[tuple[str, Memory]]:
        """Name and contents of the memory of every lane and stage."""
        for lane in range(self.pe):
            mine = self.stored[lane :: self.pe]
            for stage in range(self.bits):
                codes = np.arange(1 << stage)
                places = (codes << (self.bits - stage)) + (1 << (self.bits - stage - 1)) - 1
                yield f"{lane:04d}_{stage:02d}.mem", Memory(mine[:, places].reshape(-1, 1), self.width)


def search_tables(table: IntArray, channels: int, values: IntRange, pe: int) -> SearchTables:
    """Tables of a unit whose thresholds may be one row for all channels."""
    return SearchTables(np.array(np.broadcast_to(table, (channels, table.shape[1]))), values, pe)


def thresholding(unit: Thresholding, context: Context) -> Circuit:
    """Thresholds of their own."""
    folding = context.foldings[unit.name]
    compared = value_type(unit.input_type)
    tables = search_tables(unit.thresholds, unit.channels, compared.range, folding.pe)
    words = unit.channels // folding.pe
    block = context.in_blocks(words << (tables.bits - 1), tables.width, folding.ram_style_thresholds)
    parameters = {
        "CF": words,
        "PE": folding.pe,
        "A": compared.bit_width,
        "KIND": kind_of(compared),
        "T": tables.width,
        "B": tables.bits,
        "BIAS": unit.activation_bias,
        "OUT": unit.output_type.bit_width,
        "FILE": "t",
        "BLOCK": block,
    }
    return Circuit(
        "thresholds",
        parameters,
        (Port(folding.pe, compared),),
        Port(folding.pe, unit.output_type),
        memories={f"t_{name}": memory for name, memory in tables.files()},
        depth_cycles=tables.bits * (1 + block),
    )
