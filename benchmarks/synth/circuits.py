"""Single units as the accelerator's own RTL, synthesised many at a time; results are kept by content."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw import find_part
from brevitas_a2q.hw._ir import Folding, Graph, Unit
from brevitas_a2q.rtl._circuit import Context
from brevitas_a2q.rtl._generate import hdl_source, modules_below
from brevitas_a2q.rtl._netlist import Instance
from brevitas_a2q.rtl._synthesis import Counts, synthesise_instances, yosys_family
from brevitas_a2q.rtl._units.dispatch import circuit_of

__all__ = ["fifo_instance", "instance_of", "synthesised"]

TREE_LEVELS = 4  # adders between two registers: what 200 MHz leaves time for


def instance_of(name: str, unit: Unit, folding: Folding, part: str = "xczu7ev") -> Instance:
    """A unit as a module with its memories."""
    context = Context(Graph(name, (unit,)), {unit.name: folding}, find_part(part), TREE_LEVELS)
    circuit = circuit_of(unit, context)
    parameters = {k: f"{name}_{v}" if isinstance(v, str) else v for k, v in circuit.parameters.items()}
    memories = {f"{name}_{key}": memory for key, memory in circuit.memories.items()}
    return Instance(name, circuit.module, parameters, (), (), name, memories)


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
        for module in modules_below({i.module for i in instances}):
            write_atomically(memories.parent / f"{module}.v", hdl_source(module))
        for instance in instances:
            for name, memory in instance.memories.items():
                write_atomically(memories / name, memory.text())
        family = yosys_family(find_part(part).family)
        found = synthesise_instances(instances, family, memories, cache, workers=workers, progress=progress)
    for name, reason in found.failed.items():
        raise RtlError(reason, where=name)
    return dict(found.rows)
