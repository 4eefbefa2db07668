"""How long ``quantize_post_training_`` takes for a network of ResNet18's size, rows of 4,608 products included.

    python benchmarks/ptq_speed.py -P 14        # adds a line to results/ptq_speed.jsonl

torchvision's ResNet18 with random weights, whose batch norms have seen the photographs that it is quantized on. What is
solved is as large as in a trained one; its accuracy means nothing. Processor seconds are those of all threads, so that
other work on the machine does not show; at most as many seconds pass on an idle one.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from ptq_common import SHARED

from brevitas_a2q.ptq import PostTrainingConfig, quantize_post_training_

RESULT = Path(__file__).parent / "results" / "ptq_speed.jsonl"


def photographs(count: int, side: int) -> torch.Tensor:
    """Middles of photographs."""
    found = []
    for path in sorted((SHARED / "data" / "bsd300").glob("train/*.jpg"))[:count]:
        with Image.open(path) as image:
            least = min(image.size)
            small = image.convert("RGB").crop((0, 0, least, least)).resize((side, side))
        found.append((torch.from_numpy(np.asarray(small, np.float32).copy()).permute(2, 0, 1) - 127) / 64)
    return torch.stack(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-P", type=int, default=14)
    parser.add_argument("--images", type=int, default=128)
    given = parser.parse_args()
    torch.manual_seed(0)
    model, images = torchvision.models.resnet18(weights=None), photographs(given.images, 224)
    with torch.no_grad():
        for _ in range(2):
            model.train()(images[:64])
    clock, processor, layers = time.perf_counter(), time.process_time(), dict[str, Any]()

    def done(name: str, index: int, count: int) -> None:
        layers[name] = round(time.process_time() - processor - sum(layers.values()), 2)
        print(f"{index}/{count} {name}: {layers[name]} processor seconds", flush=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = PostTrainingConfig(accumulator_bit_width=given.P, method="exchange")
        report = quantize_post_training_(model.eval(), images, config, on_progress=done)
    line = {
        "network": "resnet18",
        "P": given.P,
        "images": given.images,
        "longest_row": max(row.dot_product_size for row in report.rows),
        "processor_seconds": round(time.process_time() - processor, 1),
        "seconds": round(time.perf_counter() - clock, 1),
        "processors": os.cpu_count(),
        "layers": layers,
    }
    with RESULT.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    print(line)


if __name__ == "__main__":
    main()
