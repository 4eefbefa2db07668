"""A folded graph as instances of HDL modules and the streams between them.

Between two units stand, as in the estimate, a FIFO of the depth that the estimate found and a width converter where
their words differ. Elements whose types differ are widened by wires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import lcm
from typing import Any

from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._ir import Graph, Unit
from brevitas_a2q.hw._streams import LEAST_FIFO_DEPTH, held_elements
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, Value, kind_of
from brevitas_a2q.rtl._memory_image import Memory
from brevitas_a2q.rtl._names import identifiers
from brevitas_a2q.rtl._units.dispatch import circuit_of

__all__ = ["Instance", "Netlist", "Stream", "build_netlist"]


@dataclass(frozen=True)
class Stream:
    """Wires ``<name>_data``, ``<name>_valid``, ``<name>_ready`` that carry words of a port."""

    name: str
    port: Port


@dataclass(frozen=True, eq=False)
class Instance:
    """A module with its parameters between its streams; ``row`` is the line of the estimate it belongs to."""

    name: str
    module: str
    parameters: Mapping[str, Value]
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]
    row: str
    memories: Mapping[str, Memory] = field(default_factory=dict)
    overflow: bool = False
    source: str | None = None  # Verilog of the module, where it is the instance's own


@dataclass(frozen=True, eq=False)
class Netlist:
    """The whole accelerator."""

    graph: Graph
    instances: tuple[Instance, ...]
    circuits: Mapping[str, Circuit]  # by unit
    streams: Mapping[str, Stream]  # what each unit writes; of a duplicate, its first copy
    input: Stream
    outputs: Mapping[str, Stream]  # units that nothing reads
    identifiers: Mapping[str, str]

    @property
    def fifos(self) -> tuple[Instance, ...]:
        """The FIFOs, in order."""
        return tuple(i for i in self.instances if i.module == "fifo")

    @property
    def accumulators(self) -> tuple[Instance, ...]:
        """Instances with accumulators, in order."""
        return tuple(i for i in self.instances if i.overflow)


def build_netlist(context: Context, depths: Mapping[str, int]) -> Netlist:
    """Instances and streams of a folded graph.

    Args:
        context: The graph, with the accumulator widths in force, its foldings and the part.
        depths: Words of each FIFO by the estimate's name for it.

    Raises:
        RtlError: For a unit that has no module.
    """
    return _Builder(context, depths).build()


class _Builder:
    def __init__(self, context: Context, depths: Mapping[str, int]) -> None:
        self.context, self.depths = context, depths
        self.ids = identifiers([unit.name for unit in context.graph.units])
        self.instances: list[Instance] = []
        self.unread: dict[str, list[Stream]] = {}

    def build(self) -> Netlist:
        graph = self.context.graph
        circuits = {unit.name: circuit_of(unit, self.context) for unit in graph.units}
        first = [unit for unit in graph.units if "" in unit.inputs]
        if len(first) != 1:
            raise RtlError(f"found {len(first)} units that read the input", where=graph.name, expected="one")
        source = Stream("source", circuits[first[0].name].inputs[0])
        self.unread[""] = [Stream("source", Port(source.port.elements, first[0].input_type))]
        streams: dict[str, Stream] = {}
        for unit in graph.units:
            self._place(unit, circuits[unit.name])
            streams[unit.name] = self.unread[unit.name][0]
        outputs = {name: left[0] for name, left in self.unread.items() if left}
        source = self.instances[0].inputs[0]
        return Netlist(graph, tuple(self.instances), circuits, streams, source, outputs, self.ids)

    def _place(self, unit: Unit, circuit: Circuit) -> None:
        name = self.ids[unit.name]
        inputs = []
        for port, (producer, wanted) in enumerate(zip(unit.inputs, circuit.inputs, strict=True)):
            label = unit.name if len(unit.inputs) == 1 else f"{unit.name}:{port}"
            prefix = name if len(unit.inputs) == 1 else f"{name}_{port}"
            stream = self.unread[producer].pop(0)
            if producer:
                stream = self._between(stream, self.context.graph[producer], unit, wanted.elements, label, prefix)
            inputs.append(self._cast(stream, wanted, label, prefix))
        copies = circuit.copies
        outputs = tuple(Stream(f"{name}_o{i}" if copies > 1 else f"{name}_o", circuit.output) for i in range(copies))
        parameters = {
            key: f"{name}_{value}" if isinstance(value, str) else value for key, value in circuit.parameters.items()
        }
        memories = {f"{name}_{key}": memory for key, memory in circuit.memories.items()}
        module, source = circuit.module, circuit.source
        if source is not None:
            module, source = f"{module}_{name}", source.replace(f"module {module} ", f"module {module}_{name} ", 1)
        rest = (unit.name, memories, circuit.overflow, source)
        self._add(name, module, parameters, tuple(inputs), outputs, *rest)
        self.unread[unit.name] = list(outputs)

    def _add(self, name: str, module: str, parameters: Any, inputs: Any, outputs: Any, row: str, *rest: Any) -> None:
        self.instances.append(Instance(name, module, parameters, inputs, outputs, row, *rest))

    def _between(self, stream: Stream, writer: Unit, unit: Unit, elements: int, label: str, prefix: str) -> Stream:
        """A FIFO on the side of a width converter that the estimate says."""
        depth, narrow = self.depths.get(f"{label}/fifo", 0), min(stream.port.elements, elements)
        early = stream.port.elements == held_elements(writer, unit, stream.port.elements, elements)
        if not early:
            stream = self._resized(stream, elements, label, prefix)
        held = stream.port.elements
        depth = max(LEAST_FIFO_DEPTH, -(-depth * narrow // held))
        block = self.context.in_blocks(depth, stream.port.width, "auto", writable=True)
        out = Stream(f"{prefix}_f", stream.port)
        parameters = {"W": stream.port.width, "D": depth, "BLOCK": block}
        self._add(f"{prefix}_fifo", "fifo", parameters, (stream,), (out,), f"{label}/fifo")
        return self._resized(out, elements, label, prefix) if early else out

    def _resized(self, stream: Stream, elements: int, label: str, prefix: str) -> Stream:
        have, bits = stream.port.elements, stream.port.type.bit_width
        common = lcm(have, elements)
        if common > have:
            wide = Stream(f"{prefix}_w", Port(common, stream.port.type))
            parameters = {"W": have * bits, "N": common // have}
            self._add(f"{prefix}_widen", "widen", parameters, (stream,), (wide,), f"{label}/dwc")
            stream = wide
        if common > elements:
            slim = Stream(f"{prefix}_n", Port(elements, stream.port.type))
            parameters = {"W": elements * bits, "N": common // elements}
            self._add(f"{prefix}_narrow", "narrow", parameters, (stream,), (slim,), f"{label}/dwc")
            stream = slim
        return stream

    def _cast(self, stream: Stream, wanted: Port, label: str, prefix: str) -> Stream:
        given = stream.port.type
        if given == wanted.type or (
            given.bit_width == wanted.type.bit_width and kind_of(given) == kind_of(wanted.type)
        ):
            return stream
        if given.bit_width > wanted.type.bit_width:
            raise RtlError(f"reads {wanted.type.name} where {given.name} is written", where=f"unit {label}")
        out = Stream(f"{prefix}_c", wanted)
        parameters = {"N": wanted.elements, "A": given.bit_width, "KIND": kind_of(given), "OUT": wanted.type.bit_width}
        self._add(f"{prefix}_cast", "cast", parameters, (stream,), (out,), label)
        return out
