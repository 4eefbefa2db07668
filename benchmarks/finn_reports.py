"""FINN's own estimate of a folder of networks, without vendor tools: its default steps up to the report.

Needs an environment of its own with FINN's Python dependencies (qonnx 0.4 for main, 1.0 for dev; ONNX 1.17); what FINN
imports and estimates do not need is stubbed.

    PYTHON_OF_FINN benchmarks/finn_reports.py CHECKOUT main|dev FOLDER

reads ``FOLDER/cases.json`` and writes ``FOLDER/BRANCH.jsonl``. Depthwise convolutions (main) and images without windows
take a step more, which a hand-over's build file has too.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

PART = "xczu7ev-ffvc1156-2-e"
STEPS = (
    "qonnx_to_finn",
    "tidy_up",
    "streamline",
    "convert_to_hw",
    "create_dataflow_partition",
    "specialize_layers",
    "target_fps_parallelization",
    "minimize_bit_width",
)
STUBBED = (
    "torch",
    "torchvision",
    "brevitas",
    "brevitas_examples",
    "pyverilator",
    "finn_xsi",
    "finnxsi",
    "vcdvcd",
    "mip",
)
ATTRIBUTES = (
    *("PE", "SIMD", "MW", "MH", "NumChannels", "numSteps", "IFMChannels", "noActivation", "binaryXnorMode"),
    *("inputDataType", "weightDataType", "outputDataType", "accDataType", "parallel_window"),
)


class _Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.split(".")[0] not in STUBBED:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module: Any = MagicMock(name=spec.name)
        module.__spec__, module.__path__, module.__name__ = spec, [], spec.name
        return module

    def exec_module(self, module: ModuleType) -> None:
        return


def _depthwise(model: Any, cfg: Any) -> Any:
    """Depthwise convolutions, which main's own steps leave to the processor."""
    from finn.transformation.fpgadataflow import convert_to_hw_layers as to_hw

    if cfg.standalone_thresholds:
        model = model.transform(to_hw.InferThresholdingLayer())
    return model.transform(to_hw.InferVectorVectorActivation())


def _images(model: Any) -> Any:
    """Images that no window reads, whose pools and flattening FINN's own steps do not convert."""
    from finn.transformation.fpgadataflow import convert_to_hw_layers as to_hw
    from finn.transformation.move_reshape import RemoveCNVtoFCFlatten
    from finn.transformation.streamline.absorb import AbsorbConsecutiveTransposes

    if hasattr(to_hw, "InferStreamingMaxPool"):
        model = model.transform(to_hw.InferStreamingMaxPool())
    for transformation in (RemoveCNVtoFCFlatten(), AbsorbConsecutiveTransposes()):
        model = model.transform(transformation)
    return model


def report(path: Path, standalone: bool, fps: int, branch: str) -> list[dict[str, Any]]:
    """FINN's nodes with what it says of them."""
    import finn.builder.build_dataflow_config as config
    import finn.builder.build_dataflow_steps as steps
    from finn.analysis.fpgadataflow.exp_cycles_per_layer import exp_cycles_per_layer
    from finn.analysis.fpgadataflow.res_estimation import res_estimation
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.registry import getCustomOp

    cfg = config.DataflowBuildConfig(
        output_dir=tempfile.mkdtemp(),
        synth_clk_period_ns=5.0,
        fpga_part=PART,
        generate_outputs=[],
        target_fps=fps,
        standalone_thresholds=standalone,
        verbose=False,
    )
    model = ModelWrapper(str(path))
    for name in STEPS:
        if name == "convert_to_hw" and branch == "main":
            model = _depthwise(model, cfg)
        model = getattr(steps, f"step_{name}")(model, cfg)
        if name == "convert_to_hw" and not model.get_nodes_by_op_type("ConvolutionInputGenerator"):
            model = _images(model)
    resources = model.analysis(lambda m: res_estimation(m, PART))
    cycles = model.analysis(exp_cycles_per_layer)
    nodes = []
    for node in model.graph.node:
        if node.name not in resources:  # dev's Shuffle, which it takes apart later
            continue
        found, known = getCustomOp(node), {}
        for name in ATTRIBUTES:
            try:
                known[name] = found.get_nodeattr(name)
            except AttributeError:  # of another kind
                continue
        used = {name: float(value) for name, value in resources[node.name].items()}
        row = {"name": node.name, "op": node.op_type, "attributes": known, "resources": used}
        nodes.append({**row, "cycles": int(cycles[node.name])})
    return nodes


def main() -> None:
    """Read the cases, write the reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("branch", choices=("main", "dev"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("FINN_ROOT", str(options.checkout))
    os.environ.setdefault("FINN_BUILD_DIR", tempfile.mkdtemp())
    sys.path.insert(0, str(options.checkout / "src"))
    sys.meta_path.append(_Stubs())
    import numpy as np
    from qonnx.custom_op.base import CustomOp

    plain = CustomOp.set_nodeattr  # which some versions of qonnx give NumPy's numbers, and others refuse them

    def set_nodeattr(self: Any, name: str, value: Any) -> Any:
        return plain(self, name, value.item() if isinstance(value, np.generic) else value)

    CustomOp.set_nodeattr = set_nodeattr
    lines = []
    for file, standalone, fps in json.loads((options.folder / "cases.json").read_text()):
        row: dict[str, Any] = {"file": file, "standalone": standalone, "fps": fps}
        try:
            row["nodes"] = report(options.folder / file, bool(standalone), fps, options.branch)
        except Exception as error:  # FINN's own, of any type: it does not build this network
            row["error"] = f"{type(error).__name__}: {error}"[:200]
        lines.append(json.dumps(row))
    (options.folder / f"{options.branch}.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
