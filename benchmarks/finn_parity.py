"""Random networks through FINN itself and through our parity modes: which reports are equal in every number.

    python benchmarks/finn_parity.py write FOLDER --first 1000 --networks 48
    PYTHON_OF_FINN benchmarks/finn_reports.py CHECKOUT main FOLDER      # FINN's own numbers, FOLDER/main.jsonl
    PYTHON_OF_FINN benchmarks/finn_reports.py CHECKOUT dev FOLDER
    python benchmarks/finn_parity.py compare FOLDER                     # results/finn_parity.md

The networks are Brevitas' own: dense, convolutional and depthwise, weights of 2 to 8 bits per tensor or per channel,
activations of 2 to 6 bits, batch norms of either sign that put thresholds far out of reach. A report is equal if all
nodes have the same kind, names of types, folding, LUTs, block RAMs, UltraRAMs, DSP blocks and cycles. Networks that
FINN's steps do not turn into one accelerator are counted apart.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from brevitas_a2q._files import write_atomically
from brevitas_a2q.hw._finn.flow import FinnOptions, finn_estimate
from brevitas_a2q.hw._finn.lowering import lowered
from brevitas_a2q.hw._frontend import read_graph

RESULTS: Final = Path(__file__).resolve().parent / "results/finn_parity.md"
PART: Final = "xczu7ev-ffvc1156-2-e"
CLOCK_MHZ: Final = 200.0


def network(seed: int) -> tuple[Any, tuple[int, ...]]:
    """A random network in evaluation mode, and the shape of its input."""
    import torch
    from torch import nn

    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    layers, shape = _dense(rng) if seed % 3 == 0 else _image(rng, depthwise=seed % 3 == 2)
    model = nn.Sequential(*layers).train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(16, *shape[1:]))
    return model.eval(), shape


class _Kinds:
    """Layers of one network: their widths are drawn once."""

    def __init__(self, rng: np.random.Generator) -> None:
        from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat

        self.rng = rng
        self.activation, self.weight = int(rng.integers(2, 7)), int(rng.integers(2, 9))
        self.quantizer = Int8WeightPerChannelFloat if rng.random() < 0.5 else Int8WeightPerTensorFloat

    def first(self) -> Any:
        import brevitas.nn as qnn
        from brevitas.quant import Int8ActPerTensorFloat

        bits = int(self.rng.integers(3, 9))
        return qnn.QuantIdentity(Int8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True)

    def weights(self) -> dict[str, Any]:
        return {"weight_quant": self.quantizer, "weight_bit_width": self.weight, "bias": False}

    def behind(self, norm: Any, channels: int) -> list[Any]:
        """A batch norm, most of the time, whose factors and offsets are large or of either sign, and a ReLU."""
        import brevitas.nn as qnn
        import torch

        relu = qnn.QuantReLU(bit_width=self.activation, return_quant_tensor=True)
        if self.rng.random() < 0.2:
            return [relu]
        layer = norm(channels)
        layer.weight.data = torch.rand(channels) * (2 if self.rng.random() < 0.5 else 0.6) + 0.05
        layer.bias.data = torch.randn(channels) * (0.3 if self.rng.random() < 0.5 else 3)
        if self.rng.random() < 0.3:
            layer.weight.data *= torch.sign(torch.randn(channels))
        return [layer, relu]


def _dense(rng: np.random.Generator) -> tuple[list[Any], tuple[int, ...]]:
    import brevitas.nn as qnn
    from torch import nn

    kinds, channels = _Kinds(rng), int(rng.choice([8, 12, 16, 24]))
    layers, shape = [kinds.first()], (1, channels)
    for _ in range(int(rng.integers(1, 4))):
        outputs = int(rng.choice([8, 10, 16, 20]))
        layers += [qnn.QuantLinear(channels, outputs, **kinds.weights()), *kinds.behind(nn.BatchNorm1d, outputs)]
        channels = outputs
    return [*layers, qnn.QuantLinear(channels, int(rng.choice([4, 10])), **kinds.weights())], shape


def _image(rng: np.random.Generator, depthwise: bool) -> tuple[list[Any], tuple[int, ...]]:
    import brevitas.nn as qnn
    from torch import nn

    kinds, channels, side = _Kinds(rng), int(rng.choice([1, 3, 4])), int(rng.choice([8, 10]))
    layers, shape = [kinds.first()], (1, channels, side, side)
    for _ in range(int(rng.integers(1, 3))):
        outputs, kernel = int(rng.choice([4, 8, 12])), int(rng.choice([1, 3]))
        pad = kernel // 2 if rng.random() < 0.7 else 0
        layers.append(qnn.QuantConv2d(channels, outputs, kernel, padding=pad, **kinds.weights()))
        layers += kinds.behind(nn.BatchNorm2d, outputs)
        side, channels = side + 2 * pad - kernel + 1, outputs
        if depthwise:
            layers.append(qnn.QuantConv2d(channels, channels, 3, padding=1, groups=channels, **kinds.weights()))
            layers += kinds.behind(nn.BatchNorm2d, channels)
        elif side % 2 == 0 and rng.random() < 0.6:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    return [*layers, nn.Flatten(), qnn.QuantLinear(channels * side * side, 10, **kinds.weights())], shape


def write(folder: Path, first: int, networks: int) -> None:
    """The networks as QONNX files, and ``cases.json``: file, thresholds apart or not, frames per second."""
    import torch
    from brevitas.export import export_qonnx

    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for seed in range(first, first + networks):
        model, shape = network(seed)
        name = f"{seed}.onnx"
        export_qonnx(model, torch.rand(shape), export_path=str(folder / name), dynamo=False)
        cases += [[name, standalone, 1000 * (1 + seed % 37)] for standalone in (0, 1)]
    write_atomically(folder / "cases.json", json.dumps(cases))


def differences(folder: Path, branch: str, report: dict[str, Any]) -> list[str]:
    """What is not equal; a first entry "part" where FINN left some layers outside of the accelerator."""
    graph = lowered(read_graph(folder / report["file"]), "main" if branch == "main" else "dev")
    options = FinnOptions(standalone_thresholds=bool(report["standalone"]))
    version = "main" if branch == "main" else "dev"
    found = finn_estimate(graph, PART, report["fps"], CLOCK_MHZ, version, "exact", options=options)
    if [node["op"] for node in report["nodes"]] != [layer.op_type for layer in found.layers]:
        return ["part" if len(report["nodes"]) < len(found.layers) else "kinds"]
    bad = []
    for theirs, layer, node in zip(report["nodes"], found.layers, found.nodes, strict=True):
        ours = {"LUT": node.lut, "BRAM_18K": node.bram18, "URAM": node.uram, "DSP": node.dsp, "cycles": node.cycles}
        ours |= {name: layer.attributes[name] for name in theirs["attributes"] if name in layer.attributes}
        known = {**theirs["resources"], "cycles": theirs["cycles"], **theirs["attributes"]}
        bad += [f"{layer.op_type}.{name}" for name, value in ours.items() if known[name] != value]
    return bad


def compare(folder: Path) -> str:
    """A table, one row a branch and placement of thresholds."""
    lines = []
    for branch in ("main", "dev"):
        reports = [json.loads(line) for line in (folder / f"{branch}.jsonl").read_text().splitlines()]
        for standalone in (0, 1):
            own = [r for r in reports if r["standalone"] == standalone]
            bad = [differences(folder, branch, r) for r in own if "nodes" in r]
            whole = [found for found in bad if found != ["part"]]
            equal = sum(not found for found in whole)
            what = Counter(name for found in whole for name in found)
            apart = "apart" if standalone else "inside"
            said = ", ".join(f"{name} {count}" for name, count in what.most_common()) or "-"
            lines.append(f"| {branch} | {apart} | {len(own)} | {len(own) - len(whole)} | {equal} | {said} |")
            print(lines[-1])
    head = "| FINN | thresholds | networks | not one accelerator in FINN | equal of the rest | what differs |"
    return "\n".join([head, "|---|---|---|---|---|---|", *lines])


def main() -> None:
    """Write networks, or compare reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("write", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--networks", type=int, default=48)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.task == "write":
        write(options.folder, options.first, options.networks)
        return
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    write_atomically(RESULTS, f"# FINN's reports and ours\n\n{text}\n\n{compare(options.folder)}\n")


if __name__ == "__main__":
    main()
