"""What a build writes beside the Verilog: the report, constraints and a script for Vivado."""

from __future__ import annotations

import json

from brevitas_a2q._files import write_atomically
from brevitas_a2q.rtl._report import BuildReport
from brevitas_a2q.rtl._verilog import TOP

__all__ = ["write_outputs"]


def write_outputs(report: BuildReport) -> None:
    """``report.json``, ``vivado/accelerator.xdc`` and ``vivado/build.tcl``."""
    write_atomically(report.folder / "report.json", json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n")
    vivado = report.folder / "vivado"
    vivado.mkdir(exist_ok=True)
    write_atomically(vivado / f"{TOP}.xdc", constraints(report.estimate.clock_mhz))
    write_atomically(vivado / "build.tcl", script(report))


def constraints(clock_mhz: float) -> str:
    """The clock, for synthesis out of context."""
    return (
        f"create_clock -name aclk -period {1000.0 / clock_mhz:.4f} [get_ports aclk]\n"
        "set_property HD.CLK_SRC BUFGCTRL_X0Y0 [get_ports aclk]\n"
    )


def script(report: BuildReport) -> str:
    """Synthesis, placement and routing out of context; run it with ``vivado -mode batch -source build.tcl``."""
    return f"""# Written by brevitas_a2q. In this folder: vivado -mode batch -source build.tcl
set here [file dirname [file normalize [info script]]]
read_verilog [glob $here/../rtl/*.v]
read_mem [glob -nocomplain $here/../rtl/mem/*.mem]
read_xdc -mode out_of_context $here/{TOP}.xdc
synth_design -top {TOP} -part {vivado_part(report.estimate.part.name)} -mode out_of_context -flatten_hierarchy rebuilt
report_utilization -hierarchical -file $here/utilization_synth.rpt
opt_design
place_design
phys_opt_design
route_design
report_utilization -hierarchical -file $here/utilization.rpt
report_timing_summary -file $here/timing.rpt
write_checkpoint -force $here/{TOP}.dcp
"""


def vivado_part(name: str) -> str:
    """A part's full name; one without package and speed gets a package that the family has."""
    return name if "-" in name else f"{name}-ffvc1156-2-e"
