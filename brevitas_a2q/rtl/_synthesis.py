"""Synthesis by Yosys: every distinct unit once, in processes of their own, kept by the contents of its sources.

LUTs are physical cells after packing (:mod:`brevitas_a2q.rtl._packing`), every adder on a carry chain of its own, as
Vivado builds them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._cost.synthesis.dot_product import fits_dsp
from brevitas_a2q.rtl._generate import Accelerator, sources_of
from brevitas_a2q.rtl._netlist import Instance
from brevitas_a2q.rtl._packing import PACKING, pack
from brevitas_a2q.rtl._tools import stop_tools
from brevitas_a2q.rtl._yosys import READ_LIMITS, need_yosys, run_yosys
from brevitas_a2q.rtl._yosys_process import MAP_ROMS

__all__ = ["Counts", "Synthesis", "synthesise", "synthesise_instances", "yosys_family"]

_LIMIT_S = 1800.0  # of one process
_BATCH = 8  # small circuits of one process: more share its start, but every pass looks at all of them
_LARGE = 16384  # numbers in the memories of a circuit that has a process of its own
_LETTERS = 16  # of a module of its own that count as a number
_BLACK = "--blackboxed-module dsp_products"  # one block, which is what Vivado makes of it (and Yosys for 7-series)
_LOCAL = " ".join(f"-unset {name}" for name in ("F", "TOP", "M", "T", "i"))  # what read_slang gives beside parameters
_DSP_BLOCKS = {"xc7": "DSP48E1", "xcup": "DSP48E2"}
_OWN = ("add_to_alu.v", "dsp_ports.v", "rom_luts.v")
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
    family = yosys_family(accelerator.context.part.family)
    folder = cache or accelerator.folder / "synth"
    return synthesise_instances(
        accelerator.netlist.instances, family, accelerator.memories, folder, workers=workers, progress=progress
    )


def synthesise_instances(
    instances: Iterable[Instance],
    family: str,
    memories: Path,
    folder: Path,
    *,
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Synthesis:
    """The same for circuits of any origin.

    Args:
        instances: The circuits.
        family: Yosys' name of a family.
        memories: Folder of the contents of memories; the modules' sources are in the one above.
        folder: Folder of results by content.
        workers: Processes at a time; as many as there are processors by default.
        progress: Called with the name of every circuit when its counts are known.
    """
    need_yosys("synthesis")
    folder = folder.resolve()  # Yosys works in the folder of the memories
    folder.mkdir(parents=True, exist_ok=True)
    by_key: dict[str, list[Instance]] = {}
    for instance in instances:
        if instance.module != "cast":
            by_key.setdefault(_key(instance, family), []).append(instance)
    known = {key for key in by_key if _known(folder, key)}

    def one(batch: list[tuple[str, Instance]]) -> dict[str, Counts | str]:
        found = _batch(memories, batch, folder, family)
        for _, instance in batch:
            if progress is not None:
                progress(instance.row)
        return found

    found: dict[str, Counts | str] = {}
    count = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(count) as pool:
        try:
            for result in pool.map(one, _batches(by_key, folder, family)):
                found |= result
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_tools()
            raise
    rows: dict[str, Counts] = {}
    failed: dict[str, str] = {}
    for key, instances in by_key.items():
        counts = found[key]
        for instance in instances:
            if isinstance(counts, str):
                failed[instance.row] = counts
            else:
                rows[instance.row] = rows.get(instance.row, Counts()) + counts
    return Synthesis(family, rows, failed, len(by_key) - len(known))


def _key(instance: Instance, family: str) -> str:
    """A digest of everything that decides the counts: sources, parameters, contents of memories, the tools' flow."""
    digest = hashlib.sha256()
    module = instance.module if instance.source is None else "own"
    for text in sources_of([instance]).values():
        digest.update(text.replace(f"module {instance.module} ", f"module {module} ", 1).encode())
    names = {k: v for k, v in instance.parameters.items() if not isinstance(v, str)}
    digest.update(json.dumps([module, names, family, _flow(instance, family), PACKING], sort_keys=True).encode())
    for name, memory in instance.memories.items():
        digest.update(
            name.removeprefix(f"{instance.name}_").encode() + str(memory.bits).encode() + memory.values.tobytes()
        )
    return digest.hexdigest()[:32]


def _batches(by_key: Mapping[str, list[Instance]], folder: Path, family: str) -> list[list[tuple[str, Instance]]]:
    """What is to be synthesised in one process each: most of a small circuit's time is Yosys' start.

    All of one process have the same passes. The largest circuits come first, so that no processor waits for one of them
    at the end.
    """
    size = {
        key: sum(memory.values.size for memory in i[0].memories.values()) + len(i[0].source or "") // _LETTERS
        for key, i in by_key.items()
    }
    order = sorted(by_key, key=lambda key: -size[key])
    batches: list[list[tuple[str, Instance]]] = []
    small: dict[tuple[str, ...], list[tuple[str, Instance]]] = {}
    for key in order:
        entry = (key, by_key[key][0])
        if _known(folder, key) or size[key] > _LARGE:
            batches.append([entry])
        else:
            small.setdefault(tuple(_flow(entry[1], family)), []).append(entry)
    return batches + [same[i : i + _BATCH] for same in small.values() for i in range(0, len(same), _BATCH)]


def _batch(memories: Path, batch: list[tuple[str, Instance]], folder: Path, family: str) -> dict[str, Counts | str]:
    """Counts of each circuit by its key, or why there are none."""
    unknown = [entry for entry in batch if not _known(folder, entry[0])]
    failed: dict[str, Counts | str] = {}
    try:
        if unknown:
            _run(memories, unknown, folder, family)
    except RtlError as error:
        if len(unknown) > 1:  # find the one that fails
            for entry in unknown:
                failed |= _batch(memories, [entry], folder, family)
            return failed | {key: _read(folder, key) for key, _ in batch if key not in failed}
        failed = {unknown[0][0]: str(error)}
    return failed | {key: _read(folder, key) for key, _ in batch if key not in failed}


def _read(folder: Path, key: str) -> Counts:
    return Counts(**json.loads((folder / f"{key}.json").read_text()))


def _known(folder: Path, key: str) -> bool:
    """Whether counts are kept, and whole."""
    try:
        _read(folder, key)
    except (OSError, ValueError, TypeError):
        return False
    return True


def _flow(instance: Instance, family: str) -> list[str]:
    """The passes behind elaboration."""
    dsp = "" if instance.parameters.get("DSP") else " -nodsp"
    flow = f"synth_xilinx -family {family} -noiopad -noclkbuf{dsp} -run"
    # Without its ports Yosys takes what a block writes for undriven, and drops the adders behind it.
    ports = [f"read_verilog -lib dsp_ports.v; setparam {_LOCAL} t:dsp_products"] if _black(instance, family) else []
    return [
        *ports,
        f"{flow} prepare:coarse",
        "read_verilog -lib rom_luts.v; memory_collect",
        MAP_ROMS,
        "opt_expr; wreduce; opt_clean",
        "techmap -map add_to_alu.v; opt_clean",
        f"{flow} coarse:check",
    ]


def _black(instance: Instance, family: str) -> str:
    """The option that leaves products in DSP blocks as they are, where one block holds them."""
    given = {name: int(instance.parameters.get(name) or 0) for name in ("DSP", "W", "WKIND", "A", "AKIND")}
    weight, activation = given["W"] + (given["WKIND"] != 1), given["A"] + (given["AKIND"] != 1)
    return f"{_BLACK} " if given["DSP"] and fits_dsp(weight, activation, _DSP_BLOCKS[family]) else ""


def _run(memories: Path, batch: list[tuple[str, Instance]], folder: Path, family: str) -> None:
    """Synthesise circuits in one process and keep their counts."""
    key = batch[0][0]
    work = folder / "work" / key
    work.mkdir(parents=True, exist_ok=True)
    here = os.path.relpath(work, memories)
    for name in _OWN:
        (work / name).write_text((files("brevitas_a2q.rtl") / "synth" / name).read_text())
    script, names = [], [f"circuit_{i}" for i in range(len(batch))]
    for name, (_, instance) in zip(names, batch, strict=True):
        values = " ".join(
            f'-G {k}="{v}"' if isinstance(v, str) else f"-G {k}={v}" for k, v in instance.parameters.items()
        )
        sources = " ".join(f"../{module}.v" for module in sources_of([instance]))
        script += [
            "design -reset",
            f"read_slang {READ_LIMITS} {_black(instance, family)}{sources} --top {instance.module} {values}",
            f"hierarchy -top {instance.module}; proc; flatten; opt_clean; rename {instance.module} {name}",
            f"select -clear; setattr -mod -unset top {name}; design -save {name}",
        ]
    script += [
        "design -reset",
        "read_verilog -lib -specify +/xilinx/cells_sim.v; read_verilog -lib +/xilinx/cells_xtra.v",
        *(f"design -copy-from {name} {name}" for name in names),
        *(re.sub(rf"({'|'.join(_OWN)})", rf"{here}/\1", step) for step in _flow(batch[0][1], family)),
        *(f"select {name}; write_json -selected {here}/{name}.json; select -clear" for name in names),
    ]
    what = f"synthesis of {batch[0][1].row}" + (f" and {len(batch) - 1} more" if len(batch) > 1 else "")
    run_yosys("\n".join(script) + "\n", work / "synth.ys", what, memories, _LIMIT_S)
    for name, (key, _) in zip(names, batch, strict=True):
        module = json.loads((work / f"{name}.json").read_text())["modules"][name]
        c = pack(module)
        counts = Counts(c["lut_pack"] + c["lutram"], c["ff"], c["bram18"], c["dsp"])
        write_atomically(folder / f"{key}.json", json.dumps(asdict(counts)))
    shutil.rmtree(work)
