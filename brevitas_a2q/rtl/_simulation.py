"""An accelerator simulated: every word of every unit against the reference, and what only running shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.errors import RtlError
from brevitas_a2q.rtl._bench_files import Plan, Tap, write_plan, write_vectors
from brevitas_a2q.rtl._generate import Accelerator
from brevitas_a2q.rtl._memory_image import encoded
from brevitas_a2q.rtl._reference import outputs_of
from brevitas_a2q.rtl._simulators import Job, Simulator
from brevitas_a2q.rtl._words import elements_of, input_elements, place_of, stream_words

__all__ = ["Difference", "Prepared", "Simulation", "prepare", "run"]

_LONG = 500_000  # cycles
_PATIENCE = 1000  # cycles without movement, beyond the longest time that a unit works by itself


@dataclass(frozen=True)
class Difference:
    """The first word of a unit that is not the expected one."""

    unit: str
    word: int  # counted over all images
    place: str
    found: tuple[int, ...]  # codes of the word's elements
    expected: tuple[int, ...]
    words: int  # how many differ

    def __str__(self) -> str:
        which = next(i for i, (a, b) in enumerate(zip(self.found, self.expected, strict=True)) if a != b)
        return (
            f"{self.unit}: {self.words} words differ, first at {self.place}, element {which} of the word: found code"
            f" {self.found[which]}, expected {self.expected[which]}"
        )


@dataclass(frozen=True)
class Simulation:
    """What a run showed. Cycles are None where too few images were sent to tell."""

    simulator: str
    images: int
    words: int  # compared, of all units
    mismatches: int
    missing: int  # words that never came
    differences: tuple[Difference, ...]  # in the order of the units
    cycles: int
    interval_cycles: int | None  # between the last words of the last two images
    latency_cycles: int | None  # from the first word in to the last word out of the first image
    fills: Mapping[str, int]  # largest fill of each FIFO in words
    overflows: Mapping[str, int]  # cycles in which an accumulator of the unit was not its exact sum
    gap: int = 0
    stall: int = 0
    seed: int = 0

    @property
    def equal(self) -> bool:
        """Whether every expected word came, and as expected."""
        return not self.mismatches and not self.missing

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "differences": [str(d) for d in self.differences]}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A job with what its units are expected to write."""

    accelerator: Accelerator
    job: Job
    elements: Mapping[str, IntArray]  # by unit, in stream order


def prepare(
    accelerator: Accelerator, simulator: Simulator, inputs: IntArray, *, sent: IntArray | None = None
) -> Prepared:
    """Write the vectors and compile the bench.

    Args:
        accelerator: What :func:`brevitas_a2q.rtl._generate.write_accelerator` wrote.
        simulator: One of :data:`brevitas_a2q.rtl._simulators.SIMULATORS`.
        inputs: Integers, shape (images, height, width, channels).
        sent: The same in stream order where that is not the pixels' own, shape (words, elements).
    """
    netlist, context = accelerator.netlist, accelerator.context
    expected = outputs_of(netlist.graph, inputs)
    elements = {
        unit.name: elements_of(unit, expected[unit.name], netlist.streams[unit.name].port, context)
        for unit in netlist.graph.units
    }
    taps = tuple(
        Tap(name, netlist.streams[name].port.width, len(e), len(e) // len(inputs), name in netlist.outputs)
        for name, e in elements.items()
    )
    port = netlist.input.port
    sent = input_elements(inputs, port) if sent is None else sent
    longest = max(tap.per_image for tap in taps)
    plan = Plan(
        images=len(inputs),
        input_width=port.width,
        input_per_image=len(sent) // len(inputs),
        taps=taps,
        fifos=len(netlist.fifos),
        accumulators=len(netlist.accumulators),
        patience=_PATIENCE + 50 * longest,
    )
    where = accelerator.folder / "sim"
    vectors = where / "vectors"
    vectors.mkdir(parents=True, exist_ok=True)
    write_plan(plan, vectors)
    words = {name: stream_words(e, netlist.streams[name].port) for name, e in elements.items()}
    write_vectors(vectors, stream_words(sent, port), words, text=simulator.needs_text)
    job = Job(
        netlist,
        plan,
        tuple(path.resolve() for path in accelerator.sources),
        accelerator.memories.resolve(),
        vectors.resolve(),
        (where / simulator.name).resolve(),
        long=longest * len(inputs) > _LONG,
    )
    simulator.compile(job)
    return Prepared(accelerator, job, elements)


def run(prepared: Prepared, simulator: Simulator, *, gap: int = 0, stall: int = 0, seed: int = 0) -> Simulation:
    """Run the bench.

    Args:
        prepared: What :func:`prepare` made with the same simulator.
        simulator: The simulator.
        gap: Permille of cycles in which no input word is offered.
        stall: Permille of cycles in which no output word is taken.
        seed: Of the random gaps and stalls.

    Raises:
        RtlError: The simulator fails.
    """
    plan, netlist = prepared.job.plan, prepared.job.netlist
    raw = simulator.run(prepared.job, gap, stall, seed)
    if any("seen" not in tap for tap in raw["taps"]):
        raise RtlError("stopped before its end", where=f"simulator {simulator.name}")
    differences = [
        _difference(prepared, tap, found) for tap, found in zip(plan.taps, raw["taps"], strict=True) if found["wrong"]
    ]
    leaving = [found["ends"] for found, tap in zip(raw["taps"], plan.taps, strict=True) if tap.output]
    ends = [max(cycles) for cycles in zip(*leaving, strict=False)]  # a run that was given up has fewer of some
    fifos = {fifo.row: fill for fifo, fill in zip(netlist.fifos, raw["fills"], strict=True)}
    overflows = {unit.row: n for unit, n in zip(netlist.accumulators, raw["overflows"], strict=True)}
    return Simulation(
        simulator=simulator.name,
        images=plan.images,
        words=sum(min(found["seen"], tap.total) for tap, found in zip(plan.taps, raw["taps"], strict=True)),
        mismatches=sum(found["wrong"] for found in raw["taps"]),
        missing=sum(max(0, tap.total - found["seen"]) for tap, found in zip(plan.taps, raw["taps"], strict=True)),
        differences=tuple(differences),
        cycles=raw["cycles"],
        interval_cycles=ends[-1] - ends[-2] if len(ends) > 2 else None,
        latency_cycles=ends[0] - raw["starts"][0] + 1 if ends else None,
        fills=fifos,
        overflows=overflows,
        gap=gap,
        stall=stall,
        seed=seed,
    )


def _difference(prepared: Prepared, tap: Tap, found: Mapping[str, Any]) -> Difference:
    netlist = prepared.job.netlist
    port, index = netlist.streams[tap.unit].port, found["first_wrong"]
    bits, text = port.type.bit_width, found["got"]
    mask = (1 << bits) - 1
    word = int(text, 16) if all(c in "0123456789abcdefABCDEF" for c in text) else 0
    got = [(word >> (i * bits)) & mask for i in range(port.elements)]
    want = [int(v) & mask for v in encoded(np.asarray(prepared.elements[tap.unit][index]), port.type)]
    place = place_of(netlist.graph[tap.unit], port, index, tap.per_image)
    return Difference(tap.unit, index, place, tuple(got), tuple(want), found["wrong"])
