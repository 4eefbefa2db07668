"""The file that starts a FINN build: its steps, part, clock and options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from brevitas_a2q.export import _finn_steps
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._devices import boards
from brevitas_a2q.hw._ir import Graph, PixelPadding, Vvau

__all__ = ["FinnName", "build_files"]

FinnName: TypeAlias = Literal["main", "dev", "plus"]

_SCRIPT: Final = '''"""Builds this folder with FINN: estimates by default, everything with --bitfile."""

import sys

import finn.builder.build_dataflow as build
import finn.builder.build_dataflow_config as cfg
import own_steps

WHOLE = "--bitfile" in sys.argv
STEPS = list(cfg.default_build_dataflow_steps if WHOLE else cfg.estimate_only_dataflow_steps)
{inserted}
OUTPUTS = cfg.DataflowOutputType
CHECKS = cfg.VerificationStepType

config = cfg.DataflowBuildConfig(
    output_dir="build",
    steps=STEPS,
    generate_outputs=[OUTPUTS.ESTIMATE_REPORTS]
    + ([OUTPUTS.STITCHED_IP, OUTPUTS.BITFILE, OUTPUTS.PYNQ_DRIVER, OUTPUTS.DEPLOYMENT_PACKAGE] if WHOLE else []),
    verify_steps=[CHECKS.QONNX_TO_FINN_PYTHON, CHECKS.TIDY_UP_PYTHON, CHECKS.STREAMLINED_PYTHON],
    shell_flow_type=cfg.ShellFlowType.{shell},
{settings}
)
sys.exit(build.build_dataflow_cfg("model.onnx", config))
'''

# Boards that every FINN knows, by our names (``finn/util/basic.py``); others are given as their parts.
_BOARDS: Final[Mapping[str, str]] = {
    **{name: name for name in ("Ultra96", "Ultra96-V2", "Pynq-Z1", "Pynq-Z2", "ZCU102", "ZCU104", "ZCU111")},
    **{name: name for name in ("RFSoC2x2", "RFSoC4x2", "U50", "U200", "U250", "U280", "U55C")},
    "KV260": "KV260_SOM",
}


def build_files(
    version: FinnName, part: str, clock_mhz: float, options: BuildOptions, graph: Graph
) -> dict[str, str | bytes]:
    """The build file and the steps that it adds to FINN's own, by file name."""
    board = {name.lower(): name for name in boards()}.get(part.lower(), "")
    on_board = _BOARDS.get(board, "")
    settings: dict[str, Any] = {
        "synth_clk_period_ns": 1e3 / clock_mhz,
        **({"board": on_board} if on_board else {"fpga_part": boards().get(board, part)}),
        "folding_config_file": "folding.json",
        "specialize_layers_config_file": "specialize_layers.json",
        "standalone_thresholds": options.standalone_thresholds,
        "auto_fifo_depths": False,
        "verify_input_npy": "input.npy",
        "verify_expected_output_npy": "expected_output.npy",
    }
    before, after = _own_steps(version, graph)
    steps = Path(_finn_steps.__file__).read_text()
    if version == "plus":
        import yaml

        settings |= {"output_dir": "build", "generate_outputs": ["estimate_reports", "stitched_ip"]}
        settings |= {"verify_steps": ["finn_onnx_python", "initial_python", "streamlined_python"]}
        for where, own in (("before", before), ("after", after)):
            settings[f"inject_steps_{where}"] = {
                step: [f"own_steps.{name}" for name in names] for step, names in own.items()
            }
        return {"build.yaml": yaml.safe_dump(settings, sort_keys=False), "own_steps.py": steps}
    inserted = [
        f'STEPS.insert(STEPS.index("{step}"){behind}, own_steps.{name})'
        for behind, own in (("", before), (" + 1", after))
        for step, names in own.items()
        for name in names
    ]
    shell = "VITIS_ALVEO" if on_board.startswith("U") and on_board[1:3].isdigit() else "VIVADO_ZYNQ"
    text = "\n".join(f"    {name}={value!r}," for name, value in settings.items())
    script = _SCRIPT.format(shell=shell, settings=text, inserted="\n".join(inserted))
    return {"build.py": script, "own_steps.py": steps}


def _own_steps(version: FinnName, graph: Graph) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What runs before and after which of FINN's own steps."""
    kinds = {type(unit) for unit in graph.units}
    scales = ["step_scales"] + ["step_deconvolutions"] * (PixelPadding in kinds)
    before = {"step_qonnx_to_finn": ["step_quantizers"], "step_streamline": scales}
    if version == "main" and Vvau in kinds:
        before["step_convert_to_hw"] = ["step_depthwise"]
    return before, {"step_streamline": ["step_layouts"], "step_convert_to_hw": ["step_layers"]}
