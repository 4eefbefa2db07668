"""How long ``certify`` takes on ResNet18 and MobileNetV2 of torchvision, as a model and as a file.

    python benchmarks/certify_speed.py export --files FOLDER
    python benchmarks/certify_speed.py model --out certify_speed.json
    python benchmarks/certify_speed.py file --files FOLDER --out certify_speed.json

Models are converted without training, at 16 accumulator bits, and certified at 224 x 224 pixels; files are exported
from them. Of the repeats the shortest is reported, since anything else on the machine only adds to it. ``--label``
tells versions of the package apart in one record.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision

from brevitas_a2q import A2QConfig, certify, constrain_, export_qonnx

NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "ResNet18": lambda: torchvision.models.resnet18(weights=None),
    "MobileNetV2": lambda: torchvision.models.mobilenet_v2(weights=None),
}
PIXELS = 224


def shortest(run: Callable[[], Any], repeats: int) -> float:
    """Seconds of the shortest of several runs."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return round(min(found), 3)


def converted(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    constrain_(model, A2QConfig(accumulator_bit_width=16), torch.rand(1, 3, 64, 64))
    model.train()(torch.rand(2, 3, 64, 64))
    return model.eval()


def measure(kind: str, name: str, folder: Path, repeats: int) -> float | None:
    """Seconds of a certificate; None where files are only exported."""
    example, path = torch.rand(1, 3, PIXELS, PIXELS), folder / f"{name}.onnx"
    if kind == "file":
        return shortest(lambda: certify(path), repeats)
    model = converted(name)
    if kind == "model":
        return shortest(lambda: certify(model, example), repeats)
    export_qonnx(model, example, path)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["export", "model", "file"])
    parser.add_argument("--files", type=Path, default=Path(), help="folder of the exported files")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--label", default="now")
    parser.add_argument("--out", type=Path, help="add the times to this JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    record: dict[str, Any] = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    times = record.setdefault(options.label, {})
    for name in NETWORKS:
        seconds = measure(options.kind, name, options.files, options.repeats)
        if seconds is not None:
            times[f"{name}, {options.kind}, seconds"] = seconds
            print(name, options.kind, seconds, flush=True)
    if options.out and times:
        options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
