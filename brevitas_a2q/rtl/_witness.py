"""Each accumulator driven by its worst case: exact at its own width, wrapped one bit below what it needs.

The input of a witness is the vector that takes a channel's sum to its highest (or lowest) value: the largest input
where the weight is positive, the smallest where it is negative. The unit is simulated by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import required_bit_width
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._ir import Folding, Graph, Mvau, Vvau
from brevitas_a2q.rtl._circuit import Context
from brevitas_a2q.rtl._generate import Accelerator, write_accelerator
from brevitas_a2q.rtl._input_values import input_values, rows_at_once, sums_of
from brevitas_a2q.rtl._netlist import build_netlist
from brevitas_a2q.rtl._simulation import Simulation, prepare, run
from brevitas_a2q.rtl._simulators import Simulator, for_a_few_words

__all__ = ["Witness", "additions", "witness", "worst_inputs"]


@dataclass(frozen=True)
class Witness:
    """One layer under its worst case."""

    layer: str
    accumulator_bit_width: int
    required_bit_width: int  # the least that holds every sum
    lowest: int
    highest: int
    words: int  # compared at the layer's own width
    mismatches: int
    overflows: int  # cycles with an inexact accumulator at the layer's own width
    overflows_below: int | None  # the same one bit below the required width; None where there is no such width

    @property
    def holds(self) -> bool:
        """Whether the layer's width holds its worst case, and one bit less than required does not."""
        exact = not self.mismatches and not self.overflows
        return exact and (self.overflows_below is None or self.overflows_below > 0)


def worst_inputs(graph: Graph, unit: Mvau | Vvau) -> tuple[IntArray, int, int]:
    """Vectors that reach the unit's lowest and highest sum (shape (2, products)), and these sums.

    A depthwise unit has the vector of its worst channel in every channel.
    """
    values, rows = input_values(graph, unit), rows_at_once(graph, unit).reshape(-1, unit.products)
    least, most = (terms.sum(axis=1) for terms in sums_of(rows, values))
    ends = int(least.argmin()), int(most.argmax())
    low, high = met = rows[list(ends)]
    vectors = np.stack([np.where(low > 0, values.lo, values.hi), np.where(high > 0, values.hi, values.lo)])
    apart = (met == 0) & (unit.weights[[end % unit.outputs for end in ends]] != 0)
    return np.where(apart, 0, vectors), int(least.min()), int(most.max())


def witness(
    accelerator: Accelerator, simulator: Simulator, progress: Callable[[str], None] | None = None
) -> tuple[Witness, ...]:
    """Drive every accumulator of an accelerator with its worst case.

    Args:
        accelerator: What was generated; the layers' simulations go to ``witness`` below its folder.
        simulator: The simulator; Icarus takes its place where it is installed, because it has nothing to compile.
        progress: Called with the name of every layer that is done.
    """
    found = []
    simulator = for_a_few_words(simulator)
    for unit in accelerator.netlist.graph.units:
        if isinstance(unit, Mvau | Vvau):
            found.append(_layer(unit, accelerator, simulator))
            if progress is not None:
                progress(unit.name)
    return tuple(found)


def _layer(unit: Mvau | Vvau, accelerator: Accelerator, simulator: Simulator) -> Witness:
    vectors, lowest, highest = worst_inputs(accelerator.netlist.graph, unit)
    needed = max(2, required_bit_width(lowest, highest))
    own = unit.accumulator_type.bit_width
    at_width = _driven(unit, vectors, own, accelerator, simulator)
    below = _driven(unit, vectors, needed - 1, accelerator, simulator)[2] if needed > 2 else None
    return Witness(unit.name, own, needed, lowest, highest, at_width[0], at_width[1], at_width[2], below)


def _driven(
    unit: Mvau | Vvau, vectors: IntArray, bits: int, accelerator: Accelerator, simulator: Simulator
) -> tuple[int, int, int]:
    """Words compared, words that differ, and overflows of the unit alone with this width."""
    name = accelerator.netlist.identifiers[unit.name]
    folder = Path(accelerator.folder) / "witness" / f"{name}_{bits}"
    accumulator = IntType.of(bits, signed=True)
    alone = replace(unit, name="layer", inputs=("",), accumulator_type=accumulator, pixels=1)
    if unit.thresholds is None:
        alone = replace(alone, output_type=accumulator)
    context = accelerator.context
    folding = context.foldings[unit.name]
    if isinstance(alone, Mvau):
        # Every group of a grouped convolution meets the same vector.
        inputs = np.tile(vectors[:, None, None, :], (1, 1, 1, alone.groups))
        if alone.groups > 1:
            folding = Folding(1, 1, folding.compute)
    else:
        alone = replace(alone, output_dim=(1, 1))
        inputs = np.repeat(vectors[:, None, None, :, None], alone.channels, axis=4)
    small = Context(Graph("witness", (alone,)), {"layer": folding}, context.part, context.tree_levels)
    one = write_accelerator(build_netlist(small, {}), small, folder)
    stream = _in_order(alone, inputs, folding)
    prepared = prepare(one, simulator, inputs, sent=stream)
    found = run(prepared, simulator)
    return found.words, found.mismatches + found.missing, found.overflows["layer"]


def _in_order(unit: Mvau | Vvau, inputs: IntArray, folding: Folding) -> IntArray:
    """The vectors in the order in which a window would stream them; shape: (words, elements)."""
    if isinstance(unit, Mvau):
        return np.asarray(inputs.reshape(-1, folding.simd if folding.compute != "unrolled" else unit.matrix_width))
    unrolled = folding.compute == "unrolled"
    pe, simd = (unit.channels, unit.simd_limit) if unrolled else (folding.pe, folding.simd)
    n, taps = len(inputs), unit.simd_limit
    ordered = inputs.reshape(n, taps, unit.channels // pe, pe).transpose(0, 2, 1, 3)
    return np.asarray(ordered.reshape(-1, simd * pe))


def additions(accelerator: Accelerator, layer: str, bits: int, simulator: Simulator) -> tuple[IntArray, Simulation]:
    """The accumulator after each addition of a layer's highest sum, in hardware.

    The unit is sent one vector for every addition, which holds the inputs up to it and zeros behind, and its sums leave
    without thresholds; so every word is what the accumulator holds after so many additions.

    Args:
        accelerator: What was generated.
        layer: Name of a matrix unit without groups.
        bits: Width of the accumulator.
        simulator: The simulator.

    Returns:
        The accumulator of the worst channel, shape (products,), and the simulation that showed it.
    """
    unit = accelerator.netlist.graph[layer]
    if not isinstance(unit, Mvau) or unit.groups > 1:
        raise RtlError(f"found a unit of kind {unit.kind}", where=layer, expected="a matrix unit without groups")
    graph = accelerator.netlist.graph
    vectors, _, _ = worst_inputs(graph, unit)
    most = sums_of(rows_at_once(graph, unit), input_values(graph, unit))[1].sum(axis=2)
    channel = int(most.max(axis=0).argmax())
    accumulator = IntType.of(bits, signed=True)
    alone = replace(unit, name="layer", inputs=("",), pixels=1, thresholds=None)
    alone = replace(alone, accumulator_type=accumulator, output_type=accumulator)
    steps = np.tril(np.ones((unit.matrix_width, unit.matrix_width), np.int64)) * vectors[1]
    context = accelerator.context
    small = Context(Graph("additions", (alone,)), {"layer": context.foldings[layer]}, context.part, context.tree_levels)
    folder = accelerator.folder / "witness" / f"{accelerator.netlist.identifiers[layer]}_{bits}_additions"
    one = write_accelerator(build_netlist(small, {}), small, folder)
    simulator = for_a_few_words(simulator)
    prepared = prepare(one, simulator, steps[:, None, None, :])
    found = run(prepared, simulator)
    return prepared.elements["layer"].reshape(unit.matrix_width, -1)[:, channel], found
