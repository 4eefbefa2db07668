"""Single units as the accelerator's own RTL, synthesised many at a time; results are kept by content."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from math import lcm
from pathlib import Path

from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._ir import DataWidthConverter, Fifo, Folding, Graph, Unit
from brevitas_a2q.rtl._circuit import Context
from brevitas_a2q.rtl._generate import sources_of
from brevitas_a2q.rtl._netlist import Instance
from brevitas_a2q.rtl._synthesis import Counts, synthesise_instances, yosys_family
from brevitas_a2q.rtl._units.dispatch import circuit_of

__all__ = ["fifo_instance", "instance_of", "instances_of", "synthesised"]

TREE_LEVELS = 4  # adders between two registers: what 200 MHz leaves time for


def instance_of(name: str, unit: Unit, folding: Folding, part: str = "xczu7ev") -> Instance:
    """A unit as a module with its memories."""
    context = Context(Graph(name, (unit,)), {unit.name: folding}, find_part(part), TREE_LEVELS)
    circuit = circuit_of(unit, context)
    parameters = {k: f"{name}_{v}" if isinstance(v, str) else v for k, v in circuit.parameters.items()}
    memories = {f"{name}_{key}": memory for key, memory in circuit.memories.items()}
    module, source = circuit.module, circuit.source
    if source is not None:
        module, source = f"{module}_{name}", source.replace(f"module {module} ", f"module {module}_{name} ", 1)
    return Instance(name, module, parameters, (), (), name, memories, source=source)


def instances_of(name: str, unit: Unit, folding: Folding, part: str = "xczu7ev") -> list[Instance]:
    """The same for kinds that stand between units too: a FIFO, and a converter of one or two modules."""
    if isinstance(unit, Fifo):
        return [fifo_instance(name, unit.width, unit.depth)]
    if isinstance(unit, DataWidthConverter):
        have, want = unit.input_width, unit.output_width
        common, found = lcm(have, want), []
        for module, width in (("widen", have), ("narrow", want)):
            if common > width:
                parameters = {"W": width, "N": common // width}
                found.append(Instance(f"{name}_{module}", module, parameters, (), (), name))
        return found
    return [instance_of(name, unit, folding, part)]


def fifo_instance(name: str, width: int, depth: int) -> Instance:
    """A FIFO in LUTs."""
    return Instance(name, "fifo", {"W": width, "D": depth, "BLOCK": 0}, (), (), name)


def synthesised(
    instances: Sequence[Instance],
    cache: Path,
    part: str = "xczu7ev",
    *,
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Counts]:
    """Counts of every circuit by its name.

    Args:
        instances: Circuits of different names.
        cache: Folder of results by content.
        part: Part whose family is meant.
        workers: Processes at a time.
        progress: Called with the name of every circuit when its counts are known.

    Raises:
        RtlError: One cannot be synthesised.
    """
    with tempfile.TemporaryDirectory() as folder:
        memories = Path(folder) / "mem"
        memories.mkdir()
        for module, text in sources_of(instances).items():
            write_atomically(memories.parent / f"{module}.v", text)
        for instance in instances:
            for name, memory in instance.memories.items():
                write_atomically(memories / name, memory.text())
        family = yosys_family(find_part(part).family)
        found = synthesise_instances(instances, family, memories, cache, workers=workers, progress=progress)
    for name, reason in found.failed.items():
        raise RtlError(reason, where=name)
    return dict(found.rows)
