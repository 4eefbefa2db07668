"""Thresholds as the memories of a binary search, or of what compares them at once."""

from __future__ import annotations

from dataclasses import dataclass

from brevitas_a2q.hw._cost.synthesis.search import SearchTable
from brevitas_a2q.hw._ir import MemoryStyle, Thresholding
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, Value, kind_of, value_type
from brevitas_a2q.rtl._memory_image import Memory

__all__ = ["Activation", "activation", "thresholding"]


@dataclass(frozen=True, eq=False)
class Activation:
    """Thresholds behind a sum, or of their own: parameters of ``thresholds.v``, memories and what they take."""

    parameters: dict[str, Value]
    memories: dict[str, Memory]
    words: int  # channels that a lane meets in turn
    block: int  # whether thresholds are in block RAM
    depth_cycles: int


def activation(table: SearchTable, channels: int, pe: int, style: MemoryStyle, context: Context) -> Activation:
    """The thresholds of ``pe`` lanes."""
    words = table.words(channels, pe)
    block = context.in_blocks(words << (table.bits - 1), table.width, style)
    parallel = table.parallel(block=bool(block))
    parameters: dict[str, Value] = {"T": table.width, "X": table.compared, "B": table.bits, "FILE": "t"}
    parameters["PARALLEL"] = table.steps if parallel else 0
    stages = [table.rows(pe)] if parallel else table.memories(pe)
    memories = {
        f"t_{lane:04d}_{stage:02d}.mem": Memory(contents, table.width)
        for stage, lanes in enumerate(stages)
        for lane, contents in enumerate(lanes)
    }
    return Activation(parameters, memories, words, block, table.latency(block=bool(block)))


def thresholding(unit: Thresholding, context: Context) -> Circuit:
    """Thresholds of their own."""
    folding = context.foldings[unit.name]
    compared = value_type(unit.input_type)
    table = SearchTable(unit.thresholds, compared.range)
    made = activation(table, unit.channels, folding.pe, folding.ram_style_thresholds, context)
    parameters: dict[str, Value] = {
        "CF": made.words,
        "PE": folding.pe,
        "A": compared.bit_width,
        "KIND": kind_of(compared),
        "BIAS": unit.activation_bias,
        "OUT": unit.output_type.bit_width,
        "BLOCK": made.block,
        **made.parameters,
    }
    return Circuit(
        "thresholds",
        parameters,
        (Port(folding.pe, compared),),
        Port(folding.pe, unit.output_type),
        memories=made.memories,
        depth_cycles=made.depth_cycles,
    )
