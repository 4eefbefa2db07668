"""Synthesise reference RTL with Yosys (``pip install brevitas_a2q[synth]``) and count LUTs.

One small unit takes a second or two; many share one process, because starting Yosys takes as long.
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

HERE = Path(__file__).resolve().parent
RTL = HERE / "rtl"
_BATCH = 24
_LIMITS = "--unroll-limit 1000000 --max-constexpr-steps 100000000"  # contents of memories are computed in loops
_RUNNER = "import sys; from pyosys import libyosys as ys; d = ys.Design(); ys.run_pass('script ' + sys.argv[1], d)"


@dataclass(frozen=True)
class Job:
    """One module with parameters; ``ripple`` maps every adder to its own carry chain, as Vivado does."""

    circuit: str
    top: str
    files: tuple[str, ...]
    parameters: dict[str, int | str] = field(default_factory=dict)
    ripple: bool = True


def _script(job: Job, out: Path) -> str:
    values = " ".join(f"-G {name}={value}" for name, value in job.parameters.items())
    synth = f"synth_xilinx -family xcup -top {job.top} -flatten -noiopad -noclkbuf -nodsp -nobram -run"
    steps = [
        "design -reset",
        f"read_slang {_LIMITS} {' '.join(str(RTL / f) for f in job.files)} --top {job.top} {values}",
    ]
    if job.ripple:
        steps += [f"{synth} begin:coarse", "opt_expr; wreduce; opt_clean"]
        steps += [f"techmap -map {RTL / 'add_to_alu.v'}; opt_clean", f"{synth} coarse:check"]
    else:
        steps += [f"{synth} begin:check"]
    return "\n".join([*steps, f"select {job.top}; write_json -selected {out}; select -clear"]) + "\n"


def synthesise(jobs: Sequence[Job]) -> list[dict[str, int] | None]:
    """Counts of each job, None where Yosys failed; one process per batch, so that an abort costs one batch."""
    results: list[dict[str, int] | None] = []
    for start in range(0, len(jobs), _BATCH):
        batch = jobs[start : start + _BATCH]
        with tempfile.TemporaryDirectory() as folder:
            outs = [Path(folder) / f"{i}.json" for i in range(len(batch))]
            script = Path(folder) / "batch.ys"
            script.write_text("".join(_script(job, out) for job, out in zip(batch, outs, strict=True)))
            run = subprocess.run(
                [sys.executable, "-c", _RUNNER, str(script)], capture_output=True, text=True, check=False
            )
            if run.returncode:
                sys.stderr.write(run.stdout[-500:] + run.stderr[-500:] + "\n")
            for job, out in zip(batch, outs, strict=True):
                results.append(pack(json.loads(out.read_text())["modules"][job.top]) if out.exists() else None)
    return results
