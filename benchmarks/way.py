"""How far data's way through the package is: the files in which something runs, for each of its verbs.

``python benchmarks/way.py`` prints, for five verbs on the digits network, in how many files of the package a function
was called, imports aside; ``--files`` names them. It is what a reader has to open to follow a verb from end to end.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

warnings.filterwarnings("ignore")

import torch  # noqa: E402 - Brevitas warns when it is imported
from torch import nn  # noqa: E402

import brevitas_a2q as a2q  # noqa: E402

PACKAGE = Path(a2q.__file__).parent
RESULTS = Path(__file__).parent / "results" / "way.json"


def executed(verb: Callable[[], object]) -> list[str]:
    """Files of the package in which a function was called meanwhile, in any thread; class bodies are imports."""
    found: set[str] = set()

    def look(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and code.co_flags & 0x2:  # 0x2: has locals of its own
            found.add(code.co_filename)

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        verb()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    inside = (Path(name) for name in found if name.startswith(str(PACKAGE)))
    return sorted(path.relative_to(PACKAGE).as_posix() for path in inside)


def network() -> tuple[nn.Module, torch.Tensor]:
    """A float network of three layers, and inputs."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip
    return model.eval(), torch.rand(16, 1, 8, 8)


def ways(folder: Path) -> dict[str, list[str]]:
    """The files of each verb."""
    from brevitas_a2q import A2QConfig, certify, constrain_, export_qonnx, hw
    from brevitas_a2q.train import RunConfig, run

    model, images = network()
    config = A2QConfig(accumulator_bit_width=14, weight_bit_width=4, activation_bit_width=4)
    file = folder / "network.onnx"
    plan = RunConfig.from_dict(
        {
            "float_recipe": {"base": "one-cycle", "epochs": 1},
            "recipe": {"base": "one-cycle", "epochs": 1},
            "estimate": {"part": "xc7z020clg400-1", "target_fps": 1000},
        }
    )
    return {
        "constrain_": executed(lambda: constrain_(model, config, images)),
        "export_qonnx": executed(lambda: export_qonnx(model, images[:1], file)),
        "certify": executed(lambda: certify(file)),
        "estimate": executed(lambda: hw.estimate(file, "xc7z020clg400-1", 1000)),
        "train": executed(lambda: run(plan, folder / "run")),
    }


def main() -> None:
    """Measure, and write the results beside the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", action="store_true", help="name the files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = ways(Path(folder))
    for verb, files in found.items():
        print(f"{verb:13} {len(files):4}")
        if arguments.files:
            print(*(f"    {file}" for file in files), sep="\n")
    RESULTS.write_text(json.dumps({verb: len(files) for verb, files in found.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
