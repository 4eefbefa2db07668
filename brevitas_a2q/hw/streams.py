"""How wide the streams between units are: what decides where a data width converter is needed.

A stream carries a pixel's channels in words of a few elements each. Which elements share a word follows from the
folding (FINN, ``get_folded_input_shape`` and ``get_folded_output_shape`` of every operator); two neighbours whose words
differ get a :class:`~brevitas_a2q.hw.ir.DataWidthConverter` between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from brevitas_a2q.hw.ir import (
    Concat,
    DataWidthConverter,
    DepthToSpace,
    Fifo,
    Folding,
    Graph,
    LabelSelect,
    MaxPool,
    Mvau,
    SlidingWindow,
    Unit,
    Upsample,
    Vvau,
)
from brevitas_a2q.ir.datatypes import IntType

__all__ = [
    "LEAST_FIFO_DEPTH",
    "Edge",
    "converter",
    "edges",
    "fifo",
    "fifo_depth",
    "input_elements",
    "input_width",
    "output_elements",
    "output_width",
    "words_per_pixel",
]

LEAST_FIFO_DEPTH = 2  # words; FINN's default between any two units

# Kinds that FINN streams a whole pixel at a time, whatever the folding.
_WHOLE_PIXEL = (MaxPool, Concat, Upsample, DepthToSpace)


@dataclass(frozen=True)
class Edge:
    """A stream from one unit to one input of another; ``producer`` is ``""`` for the network's input."""

    producer: str
    consumer: str
    port: int


def edges(graph: Graph) -> Iterator[Edge]:
    """Every stream of the graph, in order of its consumers."""
    for unit in graph.units:
        for port, producer in enumerate(unit.inputs):
            yield Edge(producer, unit.name, port)


def input_elements(unit: Unit, folding: Folding, port: int = 0) -> int:
    """Elements in one word that the unit reads."""
    if isinstance(unit, Mvau | SlidingWindow):
        return folding.simd
    if isinstance(unit, Vvau):
        return folding.simd * folding.pe
    if isinstance(unit, Concat):
        return unit.input_channels[port]
    if isinstance(unit, DepthToSpace):
        return unit.channels * unit.block_size**2
    if isinstance(unit, _WHOLE_PIXEL):
        return unit.channels
    return folding.simd if unit.simd_limit > 1 else folding.pe


def output_elements(unit: Unit, folding: Folding) -> int:
    """Elements in one word that the unit writes."""
    if isinstance(unit, SlidingWindow):
        return folding.simd * (unit.kernel[0] * unit.kernel[1] if folding.parallel_window else 1)
    if isinstance(unit, Mvau | Vvau):
        return folding.pe
    if isinstance(unit, LabelSelect):
        return 1
    if isinstance(unit, _WHOLE_PIXEL):
        return unit.channels
    return folding.simd if unit.simd_limit > 1 else folding.pe


def input_width(unit: Unit, folding: Folding, port: int = 0) -> int:
    """Bits in one word that the unit reads."""
    return input_elements(unit, folding, port) * unit.input_type.bit_width


def output_width(unit: Unit, folding: Folding) -> int:
    """Bits in one word that the unit writes."""
    return output_elements(unit, folding) * unit.output_type.bit_width


def words_per_pixel(unit: Unit, folding: Folding) -> int:
    """Words that carry one pixel (one window, behind a sliding window) out of the unit."""
    elements = unit.channels
    if isinstance(unit, SlidingWindow):
        elements *= unit.kernel[0] * unit.kernel[1]
    if isinstance(unit, LabelSelect):
        elements = unit.k
    return -(-elements // output_elements(unit, folding))


def fifo_depth(
    units: Mapping[str, Unit], foldings: Mapping[str, Folding], edge: Edge, fill: float
) -> tuple[int, int, int]:
    """Words of a stream's FIFO, and the widths of the words written and read at its two ends.

    Args:
        units: Units by name.
        foldings: Folding of each.
        edge: The stream.
        fill: Largest number of the producer's pixels it holds.
    """
    producer, consumer = units[edge.producer], units[edge.consumer]
    written = output_width(producer, foldings[edge.producer])
    read = input_width(consumer, foldings[edge.consumer], edge.port)
    bits = words_per_pixel(producer, foldings[edge.producer]) * written
    return LEAST_FIFO_DEPTH + ceil(fill * bits / min(written, read)), written, read


def fifo(name: str, reads: str, width: int, depth: int) -> Fifo:
    """A FIFO of ``depth`` words of ``width`` bits behind the unit ``reads``."""
    return Fifo(**_wires(name, reads, width), width=width, depth=depth)


def converter(name: str, reads: str, written: int, read: int) -> DataWidthConverter:
    """A converter from words of ``written`` bits to words of ``read`` bits behind the unit ``reads``."""
    return DataWidthConverter(**_wires(name, reads, read), input_width=written, output_width=read)


def _wires(name: str, reads: str, width: int) -> dict[str, Any]:
    bits = IntType("BINARY")
    return {
        "name": name,
        "inputs": (reads,),
        "input_type": bits,
        "output_type": bits,
        "pixels": 1,
        "channels": width,
    }
