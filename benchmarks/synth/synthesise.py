"""Synthesise reference RTL with Yosys (``pip install brevitas_a2q[synth]``) and count LUTs.

One small unit takes half a second in a batch of many.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packing import pack

from brevitas_a2q.rtl._yosys import RUNNER
from brevitas_a2q.rtl._yosys_process import MAP_ROMS

HERE = Path(__file__).resolve().parent
RTL = HERE / "rtl"
OWN = HERE.parent.parent / "brevitas_a2q/rtl/synth"
BATCH = 40  # modules of one process
_LIMITS = "--unroll-limit 1000000 --max-constexpr-steps 100000000"  # contents of memories are computed in loops
_SYNTH = "synth_xilinx -family xcup -noiopad -noclkbuf -nodsp -nobram -run"


@dataclass(frozen=True)
class Job:
    """One module with parameters."""

    circuit: str
    top: str
    files: tuple[str, ...]
    parameters: dict[str, int | str] = field(default_factory=dict)


def _script(jobs: Sequence[Job], folder: Path) -> str:
    """Elaborate every module in a design of its own, then map all of them at once: most of the time is start-up."""
    steps = []
    for i, job in enumerate(jobs):
        values = " ".join(f"-G {name}={value}" for name, value in job.parameters.items())
        steps += [
            "design -reset",
            f"read_slang {_LIMITS} {' '.join(str(RTL / f) for f in job.files)} --top {job.top} {values}",
            f"hierarchy -top {job.top}; proc; flatten; opt_clean; rename {job.top} job_{i}",
            f"select -clear; setattr -mod -unset top job_{i}; design -save job_{i}",
        ]
    steps += [
        "design -reset",
        "read_verilog -lib -specify +/xilinx/cells_sim.v; read_verilog -lib +/xilinx/cells_xtra.v",
    ]
    steps += [f"design -copy-from job_{i} job_{i}" for i in range(len(jobs))]
    # Every adder gets its own carry chain, as Vivado does it.
    steps += [f"{_SYNTH} prepare:coarse", f"read_verilog -lib {OWN / 'rom_luts.v'}; memory_collect", MAP_ROMS]
    steps += ["opt_expr; wreduce; opt_clean"]
    steps += [f"techmap -map {OWN / 'add_to_alu.v'}; opt_clean", f"{_SYNTH} coarse:check"]
    steps += [f"select job_{i}; write_json -selected {folder}/{i}.json; select -clear" for i in range(len(jobs))]
    return "\n".join(steps) + "\n"


def synthesise(jobs: Sequence[Job]) -> list[dict[str, int]]:
    """Counts of each job; one process per batch, so that an abort costs one batch.

    Raises:
        RuntimeError: With the end of Yosys' log, if it fails.
    """
    results: list[dict[str, int]] = []
    for start in range(0, len(jobs), BATCH):
        batch = jobs[start : start + BATCH]
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "batch.ys"
            script.write_text(_script(batch, Path(folder)))
            run = subprocess.run(
                [sys.executable, "-m", RUNNER, str(script)], capture_output=True, text=True, check=False
            )
            if run.returncode:
                raise RuntimeError(run.stdout[-500:] + run.stderr[-500:])
            netlists = [json.loads((Path(folder) / f"{i}.json").read_text()) for i in range(len(batch))]
        results += [pack(netlist["modules"][f"job_{i}"]) for i, netlist in enumerate(netlists)]
    return results
