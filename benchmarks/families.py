"""Every family of torchvision's classifiers through the whole chain: converted, certified, exported, estimated.

    python benchmarks/families.py run                  # a process for each family; goes on where it stopped
    python benchmarks/families.py run --only resnet    # families whose name holds this, made again
    python benchmarks/families.py run --only Swin      # a family's full name: it alone
    python benchmarks/families.py render               # the table in docs/families.md

The smallest network of each family, with random weights, for images as small as it takes. A step that fails is a
result: its error stands in the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "families.jsonl"
PAGE = Path(__file__).parents[1] / "docs" / "families.md"
MARK, END = "<!-- table: benchmarks/families.py render -->", "<!-- end of table -->"
LIMIT_SECONDS = 9000
PART = "xcu250"


@dataclass(frozen=True)
class Family:
    """A network of a family, the side of its images, and what its builder takes."""

    network: str
    side: int = 32
    options: dict[str, Any] = field(default_factory=dict)
    convolutional: bool = True


FAMILIES = {
    "AlexNet": Family("alexnet", 64),
    "ConvNeXt": Family("convnext_tiny"),
    "DenseNet": Family("densenet121"),
    "EfficientNet": Family("efficientnet_b0"),
    "EfficientNetV2": Family("efficientnet_v2_s"),
    "GoogLeNet": Family("googlenet", 64, {"init_weights": False, "aux_logits": False}),
    "Inception v3": Family("inception_v3", 96, {"init_weights": False, "aux_logits": False}),
    "MaxVit": Family("maxvit_t", 224, convolutional=False),
    "MNASNet": Family("mnasnet0_5"),
    "MobileNetV2": Family("mobilenet_v2"),
    "MobileNetV3": Family("mobilenet_v3_small"),
    "RegNetX": Family("regnet_x_400mf"),
    "RegNetY": Family("regnet_y_400mf"),
    "ResNet": Family("resnet18"),
    "ResNeXt": Family("resnext50_32x4d"),
    "ShuffleNetV2": Family("shufflenet_v2_x0_5"),
    "SqueezeNet": Family("squeezenet1_1", 64),
    "Swin": Family("swin_t", 64, convolutional=False),
    "Swin v2": Family("swin_v2_t", 64, convolutional=False),
    "VGG": Family("vgg11_bn"),
    "ViT": Family("vit_b_32", 64, {"image_size": 64}, convolutional=False),
    "Wide ResNet": Family("wide_resnet50_2"),
}


# From the smallest network to the largest.
_ORDER = (
    "SqueezeNet", "ShuffleNetV2", "MobileNetV3", "MNASNet", "MobileNetV2", "RegNetX", "RegNetY", "EfficientNet",
    "GoogLeNet", "DenseNet", "ResNet", "EfficientNetV2", "Inception v3", "ResNeXt", "Swin", "Swin v2", "ConvNeXt",
    "MaxVit", "AlexNet", "Wide ResNet", "ViT", "VGG",
)  # fmt: skip


def measure(name: str) -> None:
    """All steps of a family, each with its seconds and what it found, or why it failed.

    After every step, all that is known is printed.
    """
    import torch
    from torchvision.models import get_model

    from brevitas_a2q import A2QConfig, certify, constrain_, export_qonnx
    from brevitas_a2q.errors import A2QError

    family = FAMILIES[name]
    torch.manual_seed(0)
    model = get_model(family.network, weights=None, num_classes=10, **family.options).eval()
    images = torch.rand(4, 3, family.side, family.side)
    found: dict[str, Any] = {"family": name, "network": family.network, "side": family.side}

    def step(what: str, do: Callable[[], dict[str, Any]]) -> bool:
        started, worked = time.perf_counter(), time.process_time()
        try:
            found[what] = do()
        except A2QError as error:
            found[what] = {"failed": str(error)[:300]}
        except Exception as error:  # a bug of ours, which the table must show
            found[what] = {"failed": f"{type(error).__name__}: {error}"[:300], "crash": True}
        found[what]["seconds"] = round(time.perf_counter() - started, 1)
        found[what]["cpu_seconds"] = round(time.process_time() - worked, 1)
        print(json.dumps(found), flush=True)
        return "failed" not in found[what]

    def constrained() -> dict[str, Any]:
        config = A2QConfig(16, weight_bit_width=4, activation_bit_width=4, hand_multiplied=True)
        report = constrain_(model, config, images)
        skipped = [row for row in report.skipped if "first or last" not in str(row.skipped_because)]
        return {"constrained": len(report.constrained), "layers": len(report.rows), "left": len(skipped)}

    def certified() -> dict[str, Any]:
        certificate = certify(model, images[:1])
        return {
            "holds": certificate.holds,
            "targets": certificate.targets,
            "layers": len(certificate.layers),
            "uncovered": list(certificate.uncovered)[:6],
            "parts_uncovered": len(certificate.uncovered),
        }

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"

        def exported() -> dict[str, Any]:
            trip = export_qonnx(model, images[:1], path).round_trip
            return {"quantizers": trip.quantizers, "codes": trip.codes, "ties": trip.rounding_ties}

        def estimated() -> dict[str, Any]:
            from brevitas_a2q import hw

            made = hw.estimate(str(path), part=PART)
            return {"lut": made.total.lut, "units": len(made.rows)}

        def finn() -> dict[str, Any]:
            from brevitas_a2q.export import check_finn

            findings = check_finn(path)
            return {"ready": not findings, "rules": sorted({finding.rule for finding in findings})}

        if step("constrain", constrained) and step("certify", certified) and step("export", exported):
            step("file", lambda: {"holds": certify(path).holds})
            if family.convolutional:
                step("estimate", estimated)
            step("finn", finn)


def run(only: str) -> None:
    known = _read()
    asked = [only] if only in FAMILIES else [name for name in _ORDER if only.lower() in name.lower()]
    for name in asked:
        if name in known and not only:
            continue
        command = [sys.executable, "-W", "ignore", __file__, "measure", "--only", name]
        started, died = time.perf_counter(), None
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS)
            lines, died = done.stdout, done.stderr[-300:] if done.returncode else None
        except subprocess.TimeoutExpired as error:
            lines, died = (error.stdout or b"").decode(), f"more than {LIMIT_SECONDS} s"
        row = json.loads(lines.strip().splitlines()[-1]) if lines.strip() else {"family": name}
        row |= {} if died is None else {"died": died}
        row["seconds"] = round(time.perf_counter() - started, 1)
        known[name] = row
        RESULTS.write_text("".join(json.dumps(known[key]) + "\n" for key in FAMILIES if key in known))
        print(json.dumps(row), flush=True)


def _read() -> dict[str, Any]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {row["family"]: row for row in map(json.loads, lines)}


def render() -> None:
    """Put the table between the marks of the page."""
    rows = [
        "| family | network | constrained | certified | round trip | estimate, LUT | FINN | seconds of a processor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in _read().items():
        cells = [name, row.get("network", FAMILIES[name].network)]
        shown = ("constrain", "certify", "export", "estimate", "finn")
        cells += [_cell(row, step) for step in shown]
        missing = next((place for place, step in enumerate(shown) if step not in row), None)
        if "died" in row and missing is not None:
            cells[2 + missing] = " ".join(row["died"].replace("|", "/").split())[-140:]
        seconds = " + ".join(f"{row[step]['cpu_seconds']:.0f}" for step in shown if step in row and _asked(row, step))
        rows.append(f"| {' | '.join(cells)} | {seconds} |")
    before, _, rest = PAGE.read_text().partition(MARK)
    after = rest.partition(END)[2]
    PAGE.write_text(before + MARK + "\n\n" + "\n".join(rows) + "\n\n" + END + after)


def _asked(row: dict[str, Any], step: str) -> bool:
    """Whether a family is to pass a step."""
    return step != "estimate" or FAMILIES[row["family"]].convolutional


def _cell(row: dict[str, Any], step: str) -> str:
    found = row.get(step)
    if found is None or not _asked(row, step):
        return "-"
    if "failed" in found:
        return "no: " + " ".join(found["failed"].replace("|", "/").split())[:140]
    if step == "constrain":
        return f"{found['constrained']} of {found['layers']}"
    if step == "certify":
        uncovered = f", {found['parts_uncovered']} parts not covered" if found["uncovered"] else ""
        return f"{'holds' if found['holds'] else 'DOES NOT HOLD'}, {found['targets']} targets{uncovered}"
    if step == "export":
        return f"{found['codes']:,} integers"
    if step == "estimate":
        return f"{found['lut']:,}"
    return "ready" if found["ready"] else ", ".join(found["rules"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "measure", "render"])
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    if given.action == "run":
        run(given.only)
    elif given.action == "measure":
        warnings.simplefilter("ignore")
        measure(given.only)
    else:
        render()


if __name__ == "__main__":
    main()
