"""A cycle-accurate simulation of small dataflow graphs: bounded FIFOs, one word per port and cycle, back-pressure.

Written independently of the schedule in ``brevitas_a2q.hw._perf``, from what the units do: it is what that schedule is
checked against. A stream holds bits, so that a width converter needs no unit of its own, only its register.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from brevitas_a2q.hw._ir import Folding, Graph, MaxPool, Mvau, Padding, SlidingWindow, Unit, Vvau
from brevitas_a2q.hw._streams import edges, output_width, words_per_pixel

Step = tuple[bool, bool]  # whether the unit wants to read a word from each input, to write one to each output


@dataclass
class Stream:
    capacity: int
    bits: int = 0
    arriving: int = 0  # written in this cycle, visible in the next


@dataclass
class Process:
    unit: Unit
    inputs: list[Stream]
    outputs: list[Stream]
    reads: int  # bits per word
    writes: int
    run: Generator[Step, None, None]
    want: Step | None = None
    done: list[int] = field(default_factory=list)  # cycle in which each image's last word left

    def step(self) -> bool:
        """Do what the unit wants if all streams allow it; whether anything moved on."""
        if self.want is None:
            return False
        read, write = self.want
        if read and any(s.bits < self.reads for s in self.inputs):
            return False
        if write and any(s.bits + s.arriving + self.writes > s.capacity for s in self.outputs):
            return False
        for s in self.inputs if read else ():
            s.bits -= self.reads
        for s in self.outputs if write else ():
            s.arriving += self.writes
        self.want = next(self.run, None)
        return True


def passing(words: int) -> Generator[Step, None, None]:
    while True:
        for _ in range(words):
            yield True, True


def padding(unit: Padding, folding: Folding) -> Generator[Step, None, None]:
    (h, w), (top, left, bottom, right) = unit.input_dim, unit.pads
    while True:
        for y in range(h + top + bottom):
            for x in range(w + left + right):
                inside = top <= y < top + h and left <= x < left + w
                for _ in range(unit.channels // folding.simd):
                    yield inside, True


def matrix(unit: Mvau, folding: Folding) -> Generator[Step, None, None]:
    synapses, neurons = unit.matrix_width // folding.simd, unit.matrix_height // folding.pe
    while True:
        for _ in range(unit.pixels):
            for n in range(neurons):
                for s in range(synapses):
                    yield n == 0, s == synapses - 1


def depthwise(unit: Vvau, folding: Folding) -> Generator[Step, None, None]:
    taps = unit.kernel[0] * unit.kernel[1] // folding.simd
    while True:
        for _ in range(unit.pixels * unit.channels // folding.pe):
            for t in range(taps):
                yield True, t == taps - 1


def max_pool(unit: MaxPool) -> Generator[Step, None, None]:
    (h, w), (kh, kw) = unit.input_dim, unit.kernel
    while True:
        for y in range(h):
            for x in range(w):
                yield True, y % kh == kh - 1 and x % kw == kw - 1


class Window(Process):
    """Reads and writes independently: a circular buffer of the window's span and of what a stride skips."""

    def prepare(self, folding: Folding) -> None:
        unit = self.unit
        self.have = self.at = 0  # words read, words written of this image
        self.fold = unit.channels // folding.simd
        self.total = unit.input_dim[0] * unit.input_dim[1] * self.fold
        self.per_window = self.fold * (1 if folding.parallel_window else unit.kernel[0] * unit.kernel[1])
        w = unit.input_dim[1]
        taps = unit.kernel[0] * unit.kernel[1]
        self.skipped = max(0, unit.stride[1] - 1 - taps) + max(0, (unit.stride[0] - 1) * w - taps)
        self.last = [
            (y * unit.stride[0] + unit.kernel[0] - 1) * w + x * unit.stride[1] + unit.kernel[1] - 1
            for y in range(unit.output_dim[0])
            for x in range(unit.output_dim[1])
        ]

    def step(self) -> bool:
        window = self.at // self.per_window
        moved = False
        finished = window == len(self.last)
        needed = self.total if finished else (self.last[window] + 1) * self.fold
        ready = not finished and self.have >= needed
        room = all(s.bits + s.arriving + self.writes <= s.capacity for s in self.outputs)
        following = self.last[window + 1] + 1 if window + 1 < len(self.last) else self.total // self.fold
        spare = 0 if finished else self.last[window] + 1 + self.skipped
        limit = max(following, spare) * self.fold
        if self.have < min(limit, self.total) and all(s.bits >= self.reads for s in self.inputs):
            for s in self.inputs:
                s.bits -= self.reads
            self.have += 1
            moved = True
        if ready and room:
            for s in self.outputs:
                s.arriving += self.writes
            self.at += 1
            moved = True
        if self.at == len(self.last) * self.per_window and self.have == self.total:
            self.have = self.at = 0
        return moved


def simulate(
    graph: Graph, foldings: dict[str, Folding], depths: dict[tuple[str, int], int], images: int, spacing: float = 0.0
) -> list[int]:
    """Cycle in which each image's last word leaves the last unit.

    Args:
        graph: Units in topological order.
        foldings: Folding of each unit.
        depths: Words of each stream's FIFO, by reader and port, on the narrower side of its converter.
        images: Images to send.
        spacing: Cycles between two input words; 0 for as fast as they are taken.
    """
    units = {u.name: u for u in graph.units}
    streams: dict[tuple[str, int], Stream] = {}
    for edge in edges(graph):
        read = input_width(units[edge.consumer], foldings[edge.consumer], edge.port)
        if not edge.producer:
            streams[edge.consumer, edge.port] = Stream(1 << 60)
            continue
        written = output_width(units[edge.producer], foldings[edge.producer])
        register = written + read if written != read else 0
        register += second_vector(units[edge.consumer], foldings[edge.consumer])
        streams[edge.consumer, edge.port] = Stream(depths[edge.consumer, edge.port] * min(read, written) + register)
    sink = Stream(1 << 60)
    processes, sources = [], []
    for unit in graph.units:
        folding = foldings[unit.name]
        into = [streams[unit.name, port] for port in range(len(unit.inputs))]
        out = [streams[e.consumer, e.port] for e in edges(graph) if e.producer == unit.name] or [sink]
        common = (unit, into, out, input_width(unit, folding), output_width(unit, folding))
        if isinstance(unit, SlidingWindow):
            window = Window(*common, run=passing(1))
            window.prepare(folding)
            processes.append(window)
        else:
            run = behaviour(unit, folding)
            processes.append(Process(*common, run=run, want=next(run)))
        if not unit.inputs[0]:
            sources.append((into[0], input_width(unit, folding), input_words(unit, folding)))
    (source, word, per_image), last = sources[0], processes[-1]
    final_bits = words_per_pixel(last.unit, foldings[last.unit.name]) * last.unit.pixels * last.writes
    done: list[int] = []
    cycle, sent, idle = 0, 0, 0
    while len(done) < images:
        while sent < images * per_image and sent * spacing <= cycle:
            source.bits += word
            sent += 1
        moved = sum(p.step() for p in processes) > 0
        for p in processes:
            for s in p.outputs:
                s.bits += s.arriving
                s.arriving = 0
        cycle += 1
        if sink.bits >= (len(done) + 1) * final_bits:
            done.append(cycle)
        idle = 0 if moved else idle + 1
        if idle > 1000 + spacing:
            raise RuntimeError(f"deadlock in cycle {cycle}")
    return done


def input_width(unit: Unit, folding: Folding, port: int = 0) -> int:
    return unit.input_elements(folding, port) * unit.input_type.bit_width


def second_vector(unit: Unit, folding: Folding) -> int:
    """Bits that wait in a matrix unit while it still uses the vector before."""
    folded = isinstance(unit, Mvau) and folding.pe < unit.matrix_height
    return unit.matrix_width * unit.input_type.bit_width if folded else 0


def behaviour(unit: Unit, folding: Folding) -> Generator[Step, None, None]:
    if isinstance(unit, Padding):
        return padding(unit, folding)
    if isinstance(unit, Mvau):
        return matrix(unit, folding)
    if isinstance(unit, Vvau):
        return depthwise(unit, folding)
    if isinstance(unit, MaxPool):
        return max_pool(unit)
    return passing(1)


def input_words(unit: Unit, folding: Folding) -> int:
    if isinstance(unit, SlidingWindow | Padding):
        return unit.input_dim[0] * unit.input_dim[1] * (unit.channels // folding.simd)
    assert isinstance(unit, Mvau)
    return unit.pixels * unit.matrix_width // folding.simd
