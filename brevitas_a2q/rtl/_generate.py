"""The files of an accelerator: its modules, the top, the memories."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from brevitas_a2q._files import write_atomically
from brevitas_a2q.hw._estimation import Estimate
from brevitas_a2q.hw._ir import Graph
from brevitas_a2q.rtl._circuit import Context
from brevitas_a2q.rtl._netlist import Instance, Netlist, build_netlist
from brevitas_a2q.rtl._verilog import TOP, top_module

__all__ = [
    "MODULES_USED_BY",
    "Accelerator",
    "generate",
    "hdl_source",
    "modules_below",
    "sources_of",
    "tree_levels_at",
    "write_accelerator",
]

# Modules that a module instantiates.
MODULES_USED_BY = {
    "matrix_unit": ("replay", "dot_product", "thresholds"),
    "multiply_streams": ("multiply",),
    "channelwise": ("counter", "multiply"),
    "dot_product": ("counter", "multiply", "dsp_products", "adder_tree"),
    "thresholds": ("search", "compare", "counter"),
    **dict.fromkeys(("replay", "pad", "pixel_pad", "down_sampler", "window", "window_parallel"), ("counter",)),
    **dict.fromkeys(("fifo", "max_pool", "pool", "global_pool", "line_reader", "label_select"), ("counter",)),
}
_ADDER_NS = 1.2  # one level of an adder tree, routing included, on a part of today


@dataclass(frozen=True, eq=False)
class Accelerator:
    """A netlist and the folder that holds it."""

    netlist: Netlist
    context: Context
    folder: Path

    @property
    def sources(self) -> tuple[Path, ...]:
        """HDL files, the top last."""
        names = sources_of(self.netlist.instances)
        return (*(self.folder / "rtl" / f"{name}.v" for name in sorted(names)), self.folder / "rtl" / f"{TOP}.v")

    @property
    def memories(self) -> Path:
        """The folder of the memories' contents, in which simulators and synthesis run."""
        return self.folder / "rtl" / "mem"


def tree_levels_at(clock_mhz: float) -> int:
    """Levels of adders between two registers that a clock leaves time for, at least one."""
    return max(1, int(1000.0 / clock_mhz / _ADDER_NS))


def hdl_source(name: str) -> str:
    """The Verilog of a module."""
    return (files("brevitas_a2q.rtl") / "hdl" / f"{name}.v").read_text(encoding="utf-8")


def modules_below(names: Iterable[str]) -> list[str]:
    """Modules and those below them, in alphabetical order."""
    found, queue = set[str](), set(names)
    while queue:
        name = queue.pop()
        found.add(name)
        queue |= set(MODULES_USED_BY.get(name, ())) - found
    return sorted(found)


def sources_of(instances: Iterable[Instance]) -> dict[str, str]:
    """Verilog of all modules that instances need, by name; those of constant layers are their own."""
    own = {i.module: i.source for i in instances if i.source is not None}
    library = modules_below("thresholds" if i.source is not None else i.module for i in instances)
    return {name: hdl_source(name) for name in library} | own


def generate(graph: Graph, estimate: Estimate) -> tuple[Netlist, Context]:
    """The netlist of an estimated design.

    Args:
        graph: The network with the accumulator widths in force.
        estimate: Its estimate, whose foldings and FIFO depths are built.

    Raises:
        RtlError: For a unit that has no module; naming it.
    """
    context = Context(graph, estimate.foldings, estimate.part, tree_levels_at(estimate.clock_mhz))
    depths = {row.name: row.depth for row in estimate.rows if row.depth is not None}
    return build_netlist(context, depths), context


def write_accelerator(netlist: Netlist, context: Context, folder: Path) -> Accelerator:
    """Write ``rtl/``: one file per module, the top, and ``mem/`` with the contents of memories as hexadecimal text.

    A file whose contents stay the same is left as it is; memories of an earlier design are removed.
    """
    accelerator = Accelerator(netlist, context, folder)
    memories = accelerator.memories
    memories.mkdir(parents=True, exist_ok=True)
    contents = {name: memory for i in netlist.instances for name, memory in i.memories.items()}
    for path in memories.glob("*.mem"):
        if path.name not in contents:
            path.unlink()
    for name, memory in contents.items():
        _write_if_new(memories / name, memory.text())
    modules = sources_of(netlist.instances)
    for path in (folder / "rtl").glob("*.v"):
        if path.stem not in modules and path.stem != TOP:
            path.unlink()
    for name, text in modules.items():
        _write_if_new(folder / "rtl" / f"{name}.v", text)
    _write_if_new(folder / "rtl" / f"{TOP}.v", top_module(netlist))
    return accelerator


def _write_if_new(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text)
