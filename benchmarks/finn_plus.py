"""finn-plus' own estimate of a folder that ``brevitas-a2q handoff --finn-version plus`` wrote; no vendor tools.

Needs an environment of its own with finn-plus 1.6.1; its import of the compiled simulator is stubbed. Runs the steps
up to the estimates on ``model.onnx`` with the folder's build file and prints a table, or JSON:

    brevitas-a2q handoff MODEL.onnx --finn-version plus --out DIR
    PYTHON_OF_FINN_PLUS benchmarks/finn_plus.py DIR [--json]

With ``--ours FILE``, the JSON of ``estimate --model finn-dev`` of the same folding, both are held side by side.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

STEPS = (
    "qonnx_to_finn",
    "tidy_up",
    "streamline",
    "convert_to_hw",
    "create_dataflow_partition",
    "specialize_layers",
    "apply_folding_config",
    "minimize_bit_width",
)
KEYS = ("LUT", "BRAM_18K", "URAM", "DSP")


def estimated(folder: Path) -> dict[str, dict[str, float]]:
    """finn-plus' resources of every node."""
    sys.modules["finn.xsi"] = MagicMock()  # the simulator's bindings, which are compiled with Vivado
    import yaml
    from finn.util.settings import initialize_dummy_settings

    initialize_dummy_settings()
    import finn.builder.build_dataflow_config as config
    import finn.builder.build_dataflow_steps as steps
    from finn.analysis.fpgadataflow.res_estimation import res_estimation
    from qonnx.core.modelwrapper import ModelWrapper

    os.chdir(folder)
    settings = yaml.safe_load(Path("build.yaml").read_text())
    for name in ("verify_input_npy", "verify_expected_output_npy", "verify_steps"):
        settings.pop(name)
    settings["generate_outputs"] = ["estimate_reports"]
    cfg = config.DataflowBuildConfig.from_dict(settings)
    model = ModelWrapper("model.onnx")
    sys.path.append(str(folder))
    for name in (f"step_{name}" for name in STEPS):
        own = [_step(path) for path in cfg.inject_steps_before.get(name, [])]
        for step in (*own, getattr(steps, name), *map(_step, cfg.inject_steps_after.get(name, []))):
            model = step(model, cfg)
    return dict(model.analysis(lambda m: res_estimation(m, cfg._resolve_fpga_part())))


def _step(path: str) -> Any:
    """A step of the folder's own, as the build file names it."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def table(found: dict[str, dict[str, float]], ours: dict[str, Any] | None) -> str:
    """Node by node."""
    own = {row["name"]: row for row in ours["layers"]} if ours else {}
    apart = "Thresholding_rtl_{}".format  # finn-plus counts from the input's quantizer, which is not one of ours
    if sum(name.startswith(apart("")) for name in found) == 1 + sum(name.startswith(apart("")) for name in own):
        number = len(apart(""))
        own = {apart(int(n[number:]) + 1) if n.startswith(apart("")) else n: row for n, row in own.items()}
    lines = []
    for name, used in found.items():
        row = own.get(name)
        beside = "" if row is None else f"  ours {row['lut']:>7,} {row['bram18']:>5} {row['uram']:>4} {row['dsp']:>5}"
        lines.append(f"{name:36}" + "".join(f"{used.get(key, 0):>9,.0f}" for key in KEYS) + beside)
    missing = sorted(set(own) - set(found))
    return "\n".join(lines) + (f"\nonly ours: {', '.join(missing)}" if missing else "")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ours", type=Path, help="JSON of brevitas-a2q estimate")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    ours = json.loads(options.ours.read_text()) if options.ours else None
    found = estimated(options.folder.resolve())
    print(json.dumps(found, indent=1) if options.json else table(found, ours))


if __name__ == "__main__":
    main()
