"""Simulators of Verilog that compile and run a test bench, the fastest first."""

from __future__ import annotations

from brevitas_a2q.errors import RtlError
from brevitas_a2q.rtl._simulators.cxxrtl import Cxxrtl
from brevitas_a2q.rtl._simulators.icarus import Icarus
from brevitas_a2q.rtl._simulators.job import Job, Simulator
from brevitas_a2q.rtl._simulators.verilator import Verilator

__all__ = ["SIMULATORS", "Job", "Simulator", "find_simulator", "for_a_few_words"]

SIMULATORS: dict[str, Simulator] = {"verilator": Verilator(), "icarus": Icarus(), "cxxrtl": Cxxrtl()}


def find_simulator(name: str | None = None) -> Simulator:
    """The simulator of this name, or the first that is installed.

    Raises:
        RtlError: There is none, with the line that brings one.
    """
    if name is not None and name not in SIMULATORS:
        raise RtlError(f"found simulator {name!r}", expected=", ".join(SIMULATORS))
    for simulator in SIMULATORS.values() if name is None else (SIMULATORS[name],):
        missing = simulator.missing()
        if missing is None:
            return simulator
        if name is not None:
            raise RtlError(f"simulator {name} is not installed", expected=missing[0], remedy=missing[1])
    raise RtlError(
        "found no simulator",
        expected="Verilator, Icarus Verilog, or pyosys and a C++ compiler",
        remedy="pip install brevitas_a2q[rtl], or apt install verilator",
    )


def for_a_few_words(simulator: Simulator) -> Simulator:
    """Icarus where it is installed, because it has nothing to compile; otherwise the simulator given."""
    icarus = SIMULATORS["icarus"]
    return icarus if icarus.missing() is None else simulator
