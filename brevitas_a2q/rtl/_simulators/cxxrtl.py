"""CXXRTL: C++ from Yosys, compiled by the machine's compiler or by the ``ziglang`` wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from brevitas_a2q._files import write_atomically
from brevitas_a2q.rtl._bench_files import bench_source
from brevitas_a2q.rtl._design_header import cxxrtl_header
from brevitas_a2q.rtl._simulators.job import Job, Raw, compiled, stamp_of
from brevitas_a2q.rtl._tools import json_of, run_tool
from brevitas_a2q.rtl._verilog import TOP
from brevitas_a2q.rtl._yosys import READ_LIMITS, run_yosys, runtime_folder

__all__ = ["Cxxrtl", "cxx_compiler"]


def cxx_compiler() -> list[str] | None:
    """The command of a C++ compiler: the machine's, or the one that a wheel brings."""
    for name in ("g++", "clang++", "c++"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang") is not None:
        # Below -O2 it would check for undefined behaviour, which takes several times as long to compile and to run.
        return [sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=undefined", "-g0"]
    return None


class Cxxrtl:
    """What pip alone can install."""

    name = "cxxrtl"
    needs_text = False

    def missing(self) -> tuple[str, str] | None:
        if importlib.util.find_spec("pyosys") is None:
            return "pyosys", "pip install brevitas_a2q[rtl]"
        if cxx_compiler() is None:
            return "a C++ compiler", "pip install ziglang, or apt install g++"
        return None

    def compile(self, job: Job) -> None:
        compiler = cxx_compiler()
        assert compiler is not None
        texts = {"design.h": cxxrtl_header(job.netlist, job.plan), "bench.cpp": bench_source("bench.cpp")}
        options = ["-std=c++17", "-O1" if job.long else "-O0", "-w", f"-I{runtime_folder()}"]
        if compiled(job, texts, options):
            return
        sources = " ".join(os.path.relpath(path, job.memories) for path in job.sources)
        target = os.path.relpath(job.build / "design.cc", job.memories)
        script = (
            f"read_slang {READ_LIMITS} -D OBSERVE -G CHECK=1 --top {TOP} {sources}\n"
            f"hierarchy -top {TOP}; proc; flatten; opt_expr; opt_clean\n"
            f"write_cxxrtl -g0 {target}\n"
        )
        run_yosys(script, job.build / "design.ys", "Yosys (CXXRTL)", job.memories)
        run_tool([*compiler, *options, "-o", "bench", "bench.cpp"], "the C++ compiler", job.build)
        write_atomically(job.build / "stamp.json", stamp_of(job, texts, options))

    def run(self, job: Job, gap: int, stall: int, seed: int) -> Raw:
        command: list[str | Path] = [job.build / "bench", job.vectors, str(gap), str(stall), str(seed)]
        what = "the compiled simulation"
        raw: Raw = json_of(run_tool(command, what, job.memories, log=job.build), what)
        return raw
