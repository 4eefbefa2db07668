"""Thresholds as the memories of a binary search."""

from __future__ import annotations

from brevitas_a2q.hw._cost.synthesis.search import SearchTable
from brevitas_a2q.hw._ir import Thresholding
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, Value, kind_of, value_type
from brevitas_a2q.rtl._memory_image import Memory

__all__ = ["search_memories", "search_parameters", "thresholding"]


def search_parameters(table: SearchTable) -> dict[str, Value]:
    """Parameters of ``thresholds.v`` that the table decides."""
    return {"T": table.width, "X": table.compared, "B": table.bits, "FILE": "t"}


def search_memories(table: SearchTable, pe: int) -> dict[str, Memory]:
    """Name and contents of the memory of every lane and stage."""
    return {
        f"t_{lane:04d}_{stage:02d}.mem": Memory(contents.reshape(-1, 1), table.width)
        for stage, lanes in enumerate(table.memories(pe))
        for lane, contents in enumerate(lanes)
    }


def thresholding(unit: Thresholding, context: Context) -> Circuit:
    """Thresholds of their own."""
    folding = context.foldings[unit.name]
    compared = value_type(unit.input_type)
    table = SearchTable(unit.thresholds, compared.range)
    words = table.words(unit.channels, folding.pe)
    block = context.in_blocks(words << (table.bits - 1), table.width, folding.ram_style_thresholds)
    parameters: dict[str, Value] = {
        "CF": words,
        "PE": folding.pe,
        "A": compared.bit_width,
        "KIND": kind_of(compared),
        "BIAS": unit.activation_bias,
        "OUT": unit.output_type.bit_width,
        "BLOCK": block,
        **search_parameters(table),
    }
    return Circuit(
        "thresholds",
        parameters,
        (Port(folding.pe, compared),),
        Port(folding.pe, unit.output_type),
        memories=search_memories(table, folding.pe),
        depth_cycles=table.bits * (1 + block),
    )
