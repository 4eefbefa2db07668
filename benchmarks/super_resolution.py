"""Super-resolution on BSD300: which protocol the published numbers are of, and how the networks should start.

    python benchmarks/super_resolution.py protocols --data-root BSD300
    python benchmarks/super_resolution.py starts --data-root BSD300

`protocols` measures bicubic upscaling of the test images in several ways; Brevitas' super-resolution example publishes
28.71 dB for it at x2. `starts` trains float ESPCN at x2 for a few hundred steps from two starts, with batch norm on the
statistics of every batch and on its running ones after an epoch, and measures it on eight training images that it did
not see. Each writes its table beside this script.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import click
import torch
from torch import nn
from torch.nn import functional as F

from brevitas_a2q.data import ImagePairs, load_data
from brevitas_a2q.data._pairs import Protocol, bicubic_psnr_db
from brevitas_a2q.data._tasks import psnr_db
from brevitas_a2q.models import build_model
from brevitas_a2q.train._loop import Step, train_epoch

RESULTS = Path(__file__).parent / "results"
EPOCHS, BATCH_SIZE, RATE, WINDOW = 5, 16, 2e-3, 32
root_option = click.option("--data-root", type=click.Path(exists=True, path_type=Path), required=True)


def load(root: Path, **options: object) -> ImagePairs:
    """BSD300."""
    data = load_data("bsd300", root, **options)
    assert isinstance(data, ImagePairs)
    return data


def write(name: str, lines: list[str]) -> None:
    """Write a table, and show it."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text("\n".join(lines) + "\n")
    click.echo("\n".join(lines))


@click.group()
def main() -> None:
    """Measure."""


@main.command()
@root_option
def protocols(data_root: Path) -> None:
    """Bicubic upscaling judged in several ways."""
    lines = ["Mean RGB PSNR in dB of bicubic upscaling on the test images of BSD300 (published at x2: 28.71).", ""]
    lines += ["| factor | judged pixels | small image by | dB |", "|---|---|---|---|"]
    for factor in (2, 3):
        data = load(data_root, factor=factor)
        for window, judged in ((512, "512x512 around the centre, black outside"), (None, "whole images")):
            for resample in ("bilinear", "bicubic"):
                protocol = Protocol("measured", resample, window)
                found = bicubic_psnr_db(dataclasses.replace(data, protocol=protocol))
                lines.append(f"| {factor} | {judged} | antialiased {resample} | {found:.2f} |")
    write("super_resolution_protocols.md", lines)


def he_head_(model: nn.Module) -> None:
    """Give the last convolution weights as the others start from."""
    last = [m for m in model.modules() if isinstance(m, nn.Conv2d)][-1]
    nn.init.kaiming_normal_(last.weight, nonlinearity="relu")


def trained(data: ImagePairs, upsampling: str, grey: bool, settled: bool) -> nn.Module:
    """Float ESPCN after a few epochs."""
    torch.manual_seed(0)
    model = build_model("espcn", upsampling=upsampling)
    if not grey:
        he_head_(model)
    step = Step(model, F.mse_loss, penalty=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    steps = EPOCHS * math.ceil(data.len_train / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    for epoch in range(1, EPOCHS + 1):
        batches = data.train_batches(BATCH_SIZE, generator)
        train_epoch(step, batches, optimizer, schedule, f"epoch {epoch}", batch_statistics=not settled or epoch == 1)
    return model.eval()


@main.command()
@root_option
def starts(data_root: Path) -> None:
    """Two starts and two ways of batch norm."""
    data = load(data_root, crop=WINDOW, windows_per_image=8, protocol="whole", validation=8)
    steps = EPOCHS * math.ceil(data.len_train / BATCH_SIZE)
    lines = [
        f"Float ESPCN x2 after {steps} steps of {BATCH_SIZE} windows of {WINDOW}x{WINDOW} pixels: mean RGB PSNR in dB "
        f"of eight held-out training images (bicubic upscaling: {bicubic_psnr_db(data):.2f}). One seed.",
        "",
        "| upsampling | last layer starts from | batch norm | dB |",
        "|---|---|---|---|",
    ]
    for upsampling in ("resize", "subpixel"):
        for grey in (False, True):
            for settled in (False, True):
                model = trained(data, upsampling, grey, settled)
                with torch.no_grad():
                    found = torch.cat([psnr_db(model(x), y) for x, y in data.test_batches(4)]).mean().item()
                norm = "settles after an epoch" if settled else "of every batch"
                start = "positive weights, mid grey" if grey else "He's weights"
                lines.append(f"| {upsampling} | {start} | {norm} | {found:.2f} |")
                click.echo(lines[-1], err=True)
    write("super_resolution_starts.md", lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
