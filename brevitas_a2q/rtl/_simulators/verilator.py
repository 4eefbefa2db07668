"""Verilator: C++ from Verilog, compiled by the machine's compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

from brevitas_a2q._files import write_atomically
from brevitas_a2q.rtl._bench_files import bench_source
from brevitas_a2q.rtl._design_header import verilator_header
from brevitas_a2q.rtl._simulators.job import Job, Raw, compiled, stamp_of
from brevitas_a2q.rtl._tools import json_of, run_tool
from brevitas_a2q.rtl._verilog import TOP

__all__ = ["Verilator"]

_OPTIONS = ("-O3", "--x-assign", "fast", "--x-initial", "fast")


class Verilator:
    """The fastest; builds for some seconds."""

    name = "verilator"
    needs_text = False

    def missing(self) -> tuple[str, str] | None:
        if shutil.which("verilator") and shutil.which("make") and (shutil.which("g++") or shutil.which("clang++")):
            return None
        return "verilator, make and a C++ compiler", "apt install verilator g++ make"

    def compile(self, job: Job) -> None:
        texts = {"design.h": verilator_header(job.netlist, job.plan), "bench.cpp": bench_source("bench.cpp")}
        options = (
            *_OPTIONS,
            "-CFLAGS",
            "-O1" if job.long else "-O0",
            "-MAKEFLAGS",
            "OPT_FAST= OPT_SLOW= OPT_GLOBAL=-O1",
        )
        if compiled(job, texts, options):
            return
        command = ["verilator", "--cc", "--exe", "--build", "-j", "2", *options, "-Wno-fatal", "-Wno-lint"]
        command += ["-Wno-style", "-DOBSERVE", "-GCHECK=1", "--top-module", TOP, "--Mdir", str(job.build / "obj")]
        command += ["-CFLAGS", f"-I{job.build}", "-o", "bench", *map(str, job.sources), str(job.build / "bench.cpp")]
        run_tool(command, "verilator", job.build)
        write_atomically(job.build / "stamp.json", stamp_of(job, texts, options))

    def run(self, job: Job, gap: int, stall: int, seed: int) -> Raw:
        command: list[str | Path] = [job.build / "obj" / "bench", job.vectors, str(gap), str(stall), str(seed)]
        what = "the compiled simulation"
        raw: Raw = json_of(run_tool(command, what, job.memories, log=job.build), what)
        return raw
