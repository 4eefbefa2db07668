"""Synthesis by Yosys: every distinct unit once, in processes of their own, kept by the contents of what was synthesised.

LUTs are physical cells after packing (:mod:`brevitas_a2q.rtl.packing`), every adder on a carry chain of its own, as
Vivado builds them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from brevitas_a2q.errors import RtlError
from brevitas_a2q.files import write_atomically
from brevitas_a2q.rtl.generate import MODULES_USED_BY, Accelerator, hdl_source
from brevitas_a2q.rtl.netlist import Instance
from brevitas_a2q.rtl.packing import pack
from brevitas_a2q.rtl.yosys import READ_LIMITS, need_yosys, run_yosys

__all__ = ["Counts", "Synthesis", "synthesise", "yosys_family"]

_LIMIT_S = 900.0  # of one unit
_FAMILIES = {"7-series": "xc7", "UltraScale+": "xcup"}


@dataclass(frozen=True)
class Counts:
    """What synthesis made of a circuit."""

    lut: int = 0
    ff: int = 0
    bram18: int = 0
    dsp: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.lut + other.lut, self.ff + other.ff, self.bram18 + other.bram18, self.dsp + other.dsp)


@dataclass(frozen=True)
class Synthesis:
    """Counts of every line of the estimate; lines whose synthesis failed are named with the reason."""

    family: str
    rows: Mapping[str, Counts]
    failed: Mapping[str, str]
    synthesised: int  # circuits synthesised in this run; the others were known

    @property
    def total(self) -> Counts:
        """Sum over all lines."""
        return sum(self.rows.values(), Counts())


def yosys_family(family: str) -> str:
    """Yosys' name of a part's family; parts that it does not know are mapped as UltraScale+, whose LUTs they share."""
    return _FAMILIES.get(family, "xcup")


def synthesise(
    accelerator: Accelerator,
    cache: Path | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Synthesis:
    """Synthesise every distinct circuit of an accelerator.

    Args:
        accelerator: What was generated.
        cache: Folder of results by content; ``synth`` below the accelerator's by default.
        workers: Processes at a time; as many as there are processors by default.
        progress: Called with the name of every circuit when its counts are known.

    Raises:
        RtlError: pyosys is not installed.
    """
    need_yosys("synthesis")
    family = yosys_family(accelerator.context.part.family)
    folder = cache or accelerator.folder / "synth"
    folder.mkdir(parents=True, exist_ok=True)
    by_key: dict[str, list[Instance]] = {}
    for instance in accelerator.netlist.instances:
        if instance.module != "cast":
            by_key.setdefault(_key(instance, family), []).append(instance)
    new = sum(not (folder / f"{key}.json").exists() for key in by_key)

    def one(item: tuple[str, list[Instance]]) -> Counts | str:
        key, instances = item
        try:
            counts: Counts | str = _known(accelerator, instances[0], folder, key, family)
        except RtlError as error:
            counts = str(error)
        if progress is not None:
            progress(instances[0].row)
        return counts

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = list(pool.map(one, by_key.items()))
    rows: dict[str, Counts] = {}
    failed: dict[str, str] = {}
    for instances, counts in zip(by_key.values(), found, strict=True):
        for instance in instances:
            if isinstance(counts, str):
                failed[instance.row] = counts
            else:
                rows[instance.row] = rows.get(instance.row, Counts()) + counts
    return Synthesis(family, rows, failed, new)


def _modules(name: str) -> list[str]:
    found, queue = list[str](), [name]
    while queue:
        module = queue.pop()
        if module not in found:
            found.append(module)
            queue += MODULES_USED_BY.get(module, ())
    return found


def _key(instance: Instance, family: str) -> str:
    """A digest of everything that decides the counts: sources, parameters, contents of memories, the tools' flow."""
    digest = hashlib.sha256()
    for module in sorted(_modules(instance.module)):
        digest.update(hdl_source(module).encode())
    names = {k: v for k, v in instance.parameters.items() if not isinstance(v, str)}
    digest.update(json.dumps([instance.module, names, family, _flow(instance, family)], sort_keys=True).encode())
    for name, memory in instance.memories.items():
        digest.update(name.split("_", 1)[1].encode() + str(memory.bits).encode() + memory.values.tobytes())
    return digest.hexdigest()[:32]


def _known(accelerator: Accelerator, instance: Instance, folder: Path, key: str, family: str) -> Counts:
    path = folder / f"{key}.json"
    if not path.exists():
        write_atomically(path, json.dumps(asdict(_counts(accelerator, instance, folder, key, family))))
    return Counts(**json.loads(path.read_text()))


def _flow(instance: Instance, family: str) -> list[str]:
    """The passes behind elaboration."""
    dsp = "" if instance.parameters.get("DSP") else " -nodsp"
    flow = f"synth_xilinx -family {family} -noiopad -noclkbuf{dsp} -run"
    return [
        f"{flow} prepare:coarse",
        "opt_expr; wreduce; opt_clean",
        "techmap -map ADD_TO_ALU; opt_clean",
        f"{flow} coarse:check",
    ]


def _counts(accelerator: Accelerator, instance: Instance, folder: Path, key: str, family: str) -> Counts:
    work = folder / "work" / key
    work.mkdir(parents=True, exist_ok=True)
    memories = accelerator.memories
    with_quotes = {k: f'"{v}"' if isinstance(v, str) else v for k, v in instance.parameters.items()}
    values = " ".join(f"-G {k}={v}" for k, v in with_quotes.items())
    sources = " ".join(f"../{name}.v" for name in _modules(instance.module))
    netlist = work / "netlist.json"
    top = instance.module
    (work / "add_to_alu.v").write_text(files("brevitas_a2q.rtl").joinpath("synth", "add_to_alu.v").read_text())
    relative = os.path.relpath(work, memories)
    script = [
        f"read_slang {READ_LIMITS} {sources} --top {top} {values}",
        f"hierarchy -top {top}; proc; flatten; opt_clean",
        "read_verilog -lib -specify +/xilinx/cells_sim.v; read_verilog -lib +/xilinx/cells_xtra.v",
        *(step.replace("ADD_TO_ALU", f"{relative}/add_to_alu.v") for step in _flow(instance, family)),
        f"select {top}; write_json -selected {relative}/netlist.json",
    ]
    run_yosys("\n".join(script) + "\n", work / "synth.ys", f"synthesis of {instance.row}", memories, _LIMIT_S)
    modules = json.loads(netlist.read_text())["modules"]
    counted = pack(next(iter(modules.values())))
    for path in work.iterdir():
        path.unlink()
    work.rmdir()
    return Counts(counted["lut_pack"] + counted["lutram"], counted["ff"], counted["bram18"], counted["dsp"])
