"""Icarus Verilog: starts at once, runs slowly."""

from __future__ import annotations

import shutil

from brevitas_a2q.rtl._bench_files import bench_source, verilog_bench
from brevitas_a2q.rtl._simulators.job import Job, Raw, compiled
from brevitas_a2q.rtl._tools import run_tool

__all__ = ["Icarus"]


class Icarus:
    """For few images of small networks."""

    name = "icarus"
    needs_text = True

    def missing(self) -> tuple[str, str] | None:
        if shutil.which("iverilog") and shutil.which("vvp"):
            return None
        return "iverilog", "apt install iverilog"

    def compile(self, job: Job) -> None:
        """The bench is compiled anew for every run, which sets its parameters."""
        texts = {"bench.v": verilog_bench(job.netlist, job.plan, job.vectors), "checks.v": bench_source("checks.v")}
        compiled(job, texts, ())

    def run(self, job: Job, gap: int, stall: int, seed: int) -> Raw:
        values = [f"-Pbench.{k}={v}" for k, v in (("GAP", gap), ("STALL", stall), ("SEED", seed))]
        bench = [job.build / "bench.v", job.build / "checks.v"]
        command = ["iverilog", "-g2005", "-DOBSERVE", "-s", "bench", *values, "-o", str(job.build / "bench.vvp")]
        run_tool([*command, *job.sources, *bench], "iverilog", job.build)
        return _parsed(run_tool(["vvp", "-n", job.build / "bench.vvp"], "vvp", job.memories, log=job.build), job)


def _parsed(text: str, job: Job) -> Raw:
    """The lines that the bench displays, as the benches in C++ say it."""
    taps: list[Raw] = [{"ends": []} for _ in job.plan.taps]
    raw: Raw = {"taps": taps, "starts": [], "fills": [0] * job.plan.fifos, "overflows": [0] * job.plan.accumulators}
    raw |= {"cycles": 0, "complete": False}
    for line in text.splitlines():
        match line.split():
            case ["START", cycle]:
                raw["starts"].append(int(cycle))
            case ["END", tap, cycle]:
                taps[int(tap)]["ends"].append(int(cycle))
            case ["TAP", tap, seen, wrong, first, got]:
                taps[int(tap)] |= {"seen": int(seen), "wrong": int(wrong), "first_wrong": int(first), "got": got}
            case ["FILL", fifo, most]:
                raw["fills"][int(fifo)] = int(most)
            case ["OVERFLOW", unit, count]:
                raw["overflows"][int(unit)] = int(count)
            case ["CYCLES", cycles, complete]:
                raw |= {"cycles": int(cycles), "complete": complete == "1"}
    return raw
