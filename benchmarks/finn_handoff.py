"""FINN's own nodes of a folder that ``brevitas-a2q handoff`` wrote, by the steps of its build file; no vendor tools.

Needs an environment of its own, as ``finn_reports.py``; finn-plus has ``finn_plus.py``.

    brevitas-a2q handoff MODEL.onnx --finn-version main|dev --out DIR
    brevitas-a2q estimate DIR/model.onnx --model finn-main|finn-dev --accumulator exact \\
        --folding DIR/folding.json --json > OURS
    PYTHON_OF_FINN benchmarks/finn_handoff.py CHECKOUT DIR OURS

prints a line of results/finn_handoff.md: nodes, and those that our parity mode says other LUTs or block RAMs of.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from finn_reports import PART, _Stubs

STEPS = (
    *("step_qonnx_to_finn", "step_tidy_up", "step_streamline", "step_convert_to_hw"),
    *("step_create_dataflow_partition", "step_specialize_layers", "step_apply_folding_config"),
    "step_minimize_bit_width",
)


def steps_of(build: str) -> list[Any]:
    """FINN's steps up to the estimates, and the folder's own between them."""
    import finn.builder.build_dataflow_steps as steps

    sys.path.insert(0, str(Path.cwd()))
    names: dict[str, Any] = {"STEPS": list(STEPS), "own_steps": importlib.import_module("own_steps")}
    exec("\n".join(line for line in build.splitlines() if line.startswith("STEPS.insert")), names)
    return [getattr(steps, step) if isinstance(step, str) else step for step in names["STEPS"]]


def resources(folder: Path) -> dict[str, dict[str, float]]:
    """LUTs and blocks of every node by FINN."""
    import finn.builder.build_dataflow_config as config
    import numpy as np
    from finn.analysis.fpgadataflow.res_estimation import res_estimation
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.base import CustomOp

    plain = CustomOp.set_nodeattr  # newer qonnx refuses the numpy numbers that FINN dev gives it
    CustomOp.set_nodeattr = lambda self, name, value: plain(
        self, name, float(value) if isinstance(value, np.floating) else value
    )
    os.chdir(folder)
    cfg = config.DataflowBuildConfig(
        output_dir=tempfile.mkdtemp(),
        synth_clk_period_ns=5.0,
        fpga_part=PART,
        generate_outputs=[],
        folding_config_file="folding.json",
        specialize_layers_config_file="specialize_layers.json",
        verbose=False,
    )
    model = ModelWrapper("model.onnx")
    for step in steps_of(Path("build.py").read_text()):
        model = step(model, cfg)
    found = model.analysis(lambda m: res_estimation(m, PART))
    return {node.name: found[node.name] for node in model.graph.node if node.name in found}


def main() -> None:
    """Run and print."""
    checkout, folder, ours = (Path(argument).resolve() for argument in sys.argv[1:4])
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(checkout / "src"))
    sys.meta_path.insert(0, _Stubs())
    os.environ.setdefault("FINN_ROOT", str(checkout))
    rows = json.loads(ours.read_text())["layers"]
    found = resources(folder)
    listed = set(json.loads(Path("folding.json").read_text()))
    # The quantizer of the input, which dev counts from, is not one of ours.
    apart = [name for name in found if name.startswith("Thresholding_rtl_")]
    own = [name for name in (r["name"] for r in rows) if name.startswith("Thresholding_rtl_")]
    renamed = dict(zip(own, apart[len(apart) - len(own) :], strict=True))
    mine = {renamed.get(row["name"], row["name"]): (row["lut"], row["bram18"]) for row in rows}
    known = {name: (used.get("LUT", 0), used.get("BRAM_18K", 0)) for name, used in found.items()}
    differ = sorted(name for name in known if name in mine and known[name] != mine[name])
    alone = sorted(set(known) - set(mine)) + sorted(set(mine) - set(known))
    unlisted = sorted(set(known) - listed)
    print(f"| {checkout.name} | {folder.name} | {len(known)} | {len(set(known) & set(mine)) - len(differ)} |", end=" ")
    print(" | ".join(", ".join(names) or "-" for names in (differ, alone, unlisted)), "|")


if __name__ == "__main__":
    main()
