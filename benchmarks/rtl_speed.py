"""How long a build takes: the quickstart network, a CNV, a ResNet18, and proofs of accumulators.

    python benchmarks/rtl_speed.py [STEP ...]       # all steps by default; results/rtl_speed.json

Each step is a build of its own in a new folder, timed from the file to the report, compilation of the simulator and the
QONNX executor's run included. Seconds are those of the machine it ran on; ``load`` is what the processors had to do in
the minute up to the end, of which the step itself is one or two, so that times beside a higher load are upper bounds.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rtl import ORACLE, path_of

from brevitas_a2q import hw
from brevitas_a2q.hw._frontend import read_graph

RESULTS = Path(__file__).resolve().parent / "results" / "rtl_speed.json"
PART = "ZCU104"
Step = Callable[[Path], dict[str, Any]]


def _digits(folder: Path) -> Path:
    """The quickstart network; exported once, which is not timed."""
    return path_of("digits", folder)


def _build(path: Path, folder: Path, fps: float, **options: Any) -> dict[str, Any]:
    started = time.perf_counter()
    report = hw.build(path, folder / "out", PART, fps, **options)
    seconds = time.perf_counter() - started
    assert report.holds
    run = report.simulation
    found: dict[str, Any] = {"seconds": round(seconds, 1)}
    if run is not None:
        found |= {"simulator": run.simulator, "images": run.images, "words": run.words, "differ": run.mismatches}
        found |= {"interval_cycles": run.interval_cycles, "estimated_interval_cycles": report.estimate.max_cycles}
    if report.synthesis is not None:
        found |= {"circuits": report.synthesis.synthesised, "lut": report.synthesis.total.lut}
    if report.proofs:
        found["proofs"] = [[p.layer, p.products, p.accumulator_bit_width, round(p.seconds, 1)] for p in report.proofs]
    return found


def quickstart_rtl(folder: Path) -> dict[str, Any]:
    """Verilog and memories alone."""
    return _build(_digits(folder), folder, 10_000)


def quickstart_images(folder: Path) -> dict[str, Any]:
    """450 images through the fastest simulator."""
    return _build(_digits(folder), folder, 10_000, simulate=450)


def quickstart_synthesis(folder: Path) -> dict[str, Any]:
    """All of its units."""
    return _build(_digits(folder), folder, 10_000, synthesize=True)


def quickstart_proofs(folder: Path) -> dict[str, Any]:
    """The accumulator of the worst channel of every layer."""
    return _build(_digits(folder), folder, 10_000, prove_layers=("all",))


def quickstart_pip_only(folder: Path) -> dict[str, Any]:
    """Three images with what pip brings alone: a PATH without simulators, compilers and make."""
    path, before = _digits(folder), os.environ["PATH"]
    os.environ["PATH"] = str(folder / "nothing")
    try:
        return _build(path, folder, 10_000, simulate=3)
    finally:
        os.environ["PATH"] = before


def cnv_images(folder: Path) -> dict[str, Any]:
    """Two images (sent as three, so that an interval is measured) through a CNV, W4A4, 32 x 32."""
    return _build(ORACLE / "cnv_w4a4_a2q12.onnx", folder, 1000, simulate=2)


def cnv_proof(folder: Path) -> dict[str, Any]:
    """The layer of most products."""
    path = ORACLE / "cnv_w4a4_a2q12.onnx"
    sizes = {u.name: u.products for u in read_graph(path).units if u.kind == "MVAU"}
    layer = max(sizes, key=lambda name: sizes[name])
    return _build(path, folder, 1000, prove_layers=(layer,))


def resnet18_rtl(folder: Path) -> dict[str, Any]:
    """Verilog and memories of a ResNet18, W4A4, 32 x 32."""
    path = _resnet18(folder)
    found = _build(path, folder, 30)
    found["megabytes"] = round(sum(f.stat().st_size for f in (folder / "out" / "rtl").rglob("*")) / 1e6, 1)
    return found


def _resnet18(folder: Path) -> Path:
    import torch

    from brevitas_a2q import export_qonnx
    from brevitas_a2q.models import QuantSpec, build_model

    torch.manual_seed(1)
    model = build_model("resnet18", QuantSpec()).train()
    x = torch.rand(2, 3, 32, 32)
    model(x)
    path = folder / "resnet18.onnx"
    export_qonnx(model.eval(), x[:1], path)
    return path


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (
        quickstart_rtl,
        quickstart_images,
        quickstart_synthesis,
        quickstart_proofs,
        quickstart_pip_only,
        cnv_images,
        cnv_proof,
        resnet18_rtl,
    )
}
GOALS = {
    "quickstart_rtl": 2,
    "quickstart_images": 60,
    "quickstart_synthesis": 180,
    "cnv_images": 120,
    "resnet18_rtl": 30,
}


@click.command()
@click.argument("names", metavar="[STEP ...]", nargs=-1, type=click.Choice(list(STEPS)))
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps the networks' files.")
def main(names: tuple[str, ...], folder: Path | None) -> None:
    """Time the steps."""
    work = folder or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or STEPS:
        shutil.rmtree(work / "out", ignore_errors=True)
        known[name] = {**STEPS[name](work), "goal_seconds": GOALS.get(name), "processors": os.cpu_count()}
        known[name]["load"] = round(os.getloadavg()[0], 1)
        RESULTS.write_text(json.dumps({key: known[key] for key in STEPS if key in known}, indent=1) + "\n")
        click.echo(f"{name}: {known[name]}")


if __name__ == "__main__":
    main()
