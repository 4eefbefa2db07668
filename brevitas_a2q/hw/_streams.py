"""How wide the streams between units are: what decides where a data width converter is needed.

A stream carries a pixel's channels in words of a few elements each. Which elements share a word follows from the
folding (FINN, ``get_folded_input_shape`` and ``get_folded_output_shape`` of every operator); two neighbours whose words
differ get a :class:`~brevitas_a2q.hw._ir.DataWidthConverter` between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, lcm
from typing import Any

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._ir import DataWidthConverter, Fifo, Folding, Graph, Unit
from brevitas_a2q.hw._units.flow import Flow

__all__ = [
    "LEAST_FIFO_DEPTH",
    "Edge",
    "converter",
    "delay",
    "edges",
    "far_fifo",
    "fifo",
    "fifo_between",
    "fifo_depth",
    "held_elements",
    "output_width",
    "reading",
    "words_per_pixel",
]

LEAST_FIFO_DEPTH = 2  # words; FINN's default between any two units
_LARGEST_ERROR = 48  # a FIFO of so many words may need one more: a schedule of pixels does not see every word


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


def output_width(unit: Unit, folding: Folding) -> int:
    """Bits in one word that the unit writes."""
    return unit.output_elements(folding) * unit.output_type.bit_width


def words_per_pixel(unit: Unit, folding: Folding) -> int:
    """Words that carry one pixel (one window, behind a sliding window) out of the unit."""
    return -(-unit.elements_per_pixel // unit.output_elements(folding))


def fifo_depth(
    units: Mapping[str, Unit], foldings: Mapping[str, Folding], edge: Edge, fill: float
) -> tuple[int, int, int]:
    """Words of a stream's FIFO, and the elements of the words written and read at its two ends.

    The fill is that of streams which flow evenly; they move a whole word at a time, at either end. A
    stream that waits for another one gives its words away one by one, as the other's come, and holds a few more.

    Args:
        units: Units by name.
        foldings: Folding of each.
        edge: The stream.
        fill: Largest number of the producer's pixels it holds.
    """
    producer, consumer = units[edge.producer], units[edge.consumer]
    written = producer.output_elements(foldings[edge.producer])
    read = consumer.input_elements(foldings[edge.consumer], edge.port)
    elements = words_per_pixel(producer, foldings[edge.producer]) * written
    ends = 0 if fill == 0 else 3 if len(consumer.inputs) > 1 and fill >= 1 else 1
    held = fill * elements * (1 + 1 / _LARGEST_ERROR) + ends * (written + read)
    return max(LEAST_FIFO_DEPTH, ceil(held / min(written, read))), written, read


def delay(units: Mapping[str, Unit], foldings: Mapping[str, Folding], edge: Edge) -> int:
    """Cycles from the last word of a pixel that is written to the last that can be read: of the FIFO and converter."""
    written, common, read = _words(units, foldings, edge)
    return 1 + (common > written) + (common // read if common > read else 0)


def reading(units: Mapping[str, Unit], foldings: Mapping[str, Folding], flows: Mapping[str, Flow], edge: Edge) -> float:
    """Cycles from the first word of a pixel to its last one read, but for those in which a converter passes that on.

    What is not done with a pixel by then has as much longer to read it.

    Args:
        units: Units by name.
        foldings: Folding of each.
        flows: How each works.
        edge: The stream.
    """
    _, common, read = _words(units, foldings, edge)
    reader = flows[edge.consumer]
    each = float(reader.interval.sums().last[-1]) / reader.pixels
    return (reader.taking or max(min(reader.read, each), reader.holding)) - common // read


def _words(units: Mapping[str, Unit], foldings: Mapping[str, Folding], edge: Edge) -> tuple[int, int, int]:
    """Elements of a word that is written, of what holds whole words of both kinds, and of a word that is read."""
    written = units[edge.producer].output_elements(foldings[edge.producer])
    read = units[edge.consumer].input_elements(foldings[edge.consumer], edge.port)
    return written, lcm(written, read), read


def held_elements(writer: Unit, reader: Unit, written: int, read: int) -> int:
    """Elements in a word of the FIFO between two units.

    It is on the narrower side of their converter, where it stores the fewest unused bits, unless the wider words come
    or go in bursts: a converter moves one of the narrower words a cycle, which would slow the burst.
    """
    wider = writer if written > read else reader
    return max(written, read) if wider.bursts else min(written, read)


def fifo(name: str, reads: str, width: int, depth: int) -> Fifo:
    """A FIFO of ``depth`` words of ``width`` bits behind the unit ``reads``."""
    return Fifo(**_wires(name, reads, width), width=width, depth=depth)


def fifo_between(writer: Unit, reader: Unit, label: str, ends: tuple[int, int], bits: int, depth: int) -> Fifo:
    """The FIFO between two units.

    Args:
        writer: The unit in front.
        reader: The unit behind.
        label: What the stream is called.
        ends: Elements of a word that is written, and of one that is read.
        bits: Of an element.
        depth: Words of the narrower end.
    """
    held = held_elements(writer, reader, *ends)
    words = max(LEAST_FIFO_DEPTH, -(-depth * min(ends) // held))
    return fifo(f"{label}/fifo", writer.name, held * bits, words)


def far_fifo(writer: Unit, reader: Unit, label: str, ends: tuple[int, int], bits: int, depth: int) -> Fifo:
    """The FIFO on the other side of their width converter, ``depth`` of its words deep: FINN has one on each side."""
    other = sum(ends) - held_elements(writer, reader, *ends)
    return fifo(f"{label}/far fifo", writer.name, other * bits, depth)


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
