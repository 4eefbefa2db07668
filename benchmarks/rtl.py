"""The estimator held against the accelerator itself: LUTs by synthesis, interval, latency and FIFO fills by simulation.

    python benchmarks/rtl.py run [--network tfc ...]   # appends what results/rtl.jsonl lacks
    python benchmarks/rtl.py report                    # results/rtl.md

Every network is folded for three frame rates and built with the trained accumulators and with 32 bits. Words are
compared with the reference at every unit, three images a run. Networks without a file of their own are exported with
random weights and calibrated on noise, seed 1.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import click

from brevitas_a2q import hw

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "rtl.jsonl"
ORACLE = HERE.parent.parent / "shared" / "oracle" / "models"
CLOCK_MHZ, PART = 200.0, "xczu7ev"
# Cycles per image to fold for.
NETWORKS: dict[str, tuple[int, ...]] = {
    "digits": (40_000, 10_000, 3_000),
    "tfc": (60_000, 15_000, 4_000),
    "espcn": (9_000, 3_000, 1_000),
    "mobilenet_block": (9_000, 3_000, 1_000),
    "resnet_small": (9_000, 3_000, 1_000),
    "cnv": (800_000, 200_000, 60_000),
}
FILES = {"tfc": "tfc_w4a4_a2q12", "cnv": "cnv_w4a4_a2q12"}
MADE = {"espcn": "Espcn", "mobilenet_block": "MobileNetV2", "resnet_small": "ResNet18"}


def path_of(network: str, folder: Path) -> Path:
    """The network's file, made where there is none."""
    if network in FILES:
        return ORACLE / f"{FILES[network]}.onnx"
    path = folder / f"{network}.onnx"
    if path.exists():
        return path
    import torch

    torch.manual_seed(1)
    warnings.simplefilter("ignore")  # Brevitas' and torch's, about themselves
    if network == "digits":
        from brevitas_a2q import export_qonnx
        from brevitas_a2q.models import QuantSpec, build_model

        model = build_model("digits_cnn", QuantSpec()).train()
        x = torch.rand(16, 1, 8, 8)
        model(x)
        export_qonnx(model.eval(), x[:1], path)
        return path
    sys.path.insert(0, str(HERE.parent / "tests" / "hw" / "frontend"))
    import dataflow_networks
    from brevitas.export import export_qonnx as plain_export

    net = dataflow_networks.NETWORKS[MADE[network]]().train()
    for _ in range(3):
        net(torch.randn(4, *net.shape))
    plain_export(net.eval(), torch.randn(1, *net.shape), export_path=str(path), dynamo=False)
    return path


def measured(path: Path, cycles: int, accumulator: str, folder: Path, synthesize: bool) -> dict[str, Any]:
    """One build; counts per kind of unit."""
    started = time.perf_counter()
    report = hw.build(
        path,
        folder / f"{path.stem}_{cycles}_{accumulator}",
        PART,
        CLOCK_MHZ * 1e6 / cycles,
        CLOCK_MHZ,
        simulate=3,
        synthesize=synthesize,
        accumulator=accumulator,
        synthesis_cache=folder / "synthesis",
    )
    document = report.to_json()
    kinds: dict[str, list[int]] = {}
    errors = []
    for unit in document["units"] if synthesize else ():
        if unit["synthesis"] is not None:
            pair = kinds.setdefault(unit["op"], [0, 0])
            pair[0] += unit["estimate"]["lut"]
            pair[1] += unit["synthesis"]["lut"]
            if unit["depth"] is None and unit["synthesis"]["lut"]:
                errors.append(unit["estimate"]["lut"] / unit["synthesis"]["lut"] - 1)
    fifos = [(u["depth"], u["fill"]) for u in document["units"] if u["depth"] is not None]
    keys = ("words", "mismatches", "interval_cycles", "estimated_interval_cycles", "latency_cycles")
    return {
        **{key: document[key] for key in (*keys, "estimated_latency_cycles", "simulator", "synthesis", "estimate")},
        "executor_integers": document["executor"]["integers"],
        "executor_equal": not document["executor"]["differences"],
        "kinds": kinds,
        "unit_errors": sorted(errors),
        "not_synthesised": sorted(document["failed_synthesis"]),
        "fifo_words": sum(depth for depth, _ in fifos),
        "fifo_fill": sum(fill for _, fill in fifos),
        "fifos_deeper_than_estimated": sum(fill > depth for depth, fill in fifos),
        "seconds": round(time.perf_counter() - started, 1),
    }


def rows() -> Iterator[dict[str, Any]]:
    """What has been measured."""
    if RESULTS.exists():
        for line in RESULTS.read_text().splitlines():
            yield json.loads(line)


@click.group()
def cli() -> None:
    """Estimates against RTL."""


@cli.command()
@click.option("--network", "names", multiple=True, type=click.Choice(list(NETWORKS)), help="Repeatable; all.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps builds and synthesis results.")
@click.option("--synthesize/--no-synthesize", default=True, show_default=True)
def run(names: tuple[str, ...], folder: Path | None, synthesize: bool) -> None:
    """Measure what is missing."""
    work = folder or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    known = {(row["network"], row["cycles"], row["accumulator"]) for row in rows()}
    for name in names or NETWORKS:
        for cycles in NETWORKS[name]:
            for accumulator in ("trained", "32"):
                if (name, cycles, accumulator) in known:
                    continue
                found = measured(path_of(name, work), cycles, accumulator, work, synthesize)
                row = {"network": name, "cycles": cycles, "accumulator": accumulator, **found}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                click.echo(f"{name} {cycles} {accumulator}: {found['seconds']} s, {found['mismatches']} differ")


def _error(estimate: float | None, true: float | None) -> str:
    return "" if not true or estimate is None else f"{estimate / true - 1:+.1%}"


@cli.command()
def report() -> None:
    """Write the tables."""
    lines = [
        "# Estimates against the RTL",
        "",
        f"`python benchmarks/rtl.py`, {PART}, {CLOCK_MHZ:g} MHz, three random images a run. Words: of all units,",
        "in brackets how many differ from the reference. Errors are estimate / RTL - 1.",
        "",
        "| network | cycles asked | P | words (differ) | interval RTL / est. | latency RTL / est. | error |"
        " LUT Yosys / est. | error | median unit | FIFO words / fill | fuller than est. |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    kinds: dict[str, list[int]] = {}
    for row in rows():
        lut = (row["synthesis"] or {}).get("lut")
        errors = row["unit_errors"]
        lines.append(
            f"| {row['network']} | {row['cycles']:,} | {row['accumulator']} | {row['words']:,} ({row['mismatches']}) |"
            f" {row['interval_cycles']:,} / {row['estimated_interval_cycles']:,} | {row['latency_cycles']:,} /"
            f" {row['estimated_latency_cycles']:,} | {_error(row['estimated_latency_cycles'], row['latency_cycles'])} |"
            f" {lut or ''} / {row['estimate']['lut']:,} | {_error(row['estimate']['lut'], lut)} |"
            f" {f'{median(errors):+.1%}' if errors else ''} | {row['fifo_words']:,} / {row['fifo_fill']:,} |"
            f" {row['fifos_deeper_than_estimated']} |"
        )
        for kind, (guess, true) in row["kinds"].items():
            pair = kinds.setdefault(kind, [0, 0])
            pair[0] += guess
            pair[1] += true
    lines += ["", "By kind, all rows together:", "", "| kind | LUT est. | LUT Yosys | error |", "|---|---|---|---|"]
    lines += [
        f"| {k} | {g:,} | {t:,} | {_error(g, t)} |" for k, (g, t) in sorted(kinds.items(), key=lambda i: -i[1][1])
    ]
    (HERE / "results" / "rtl.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    cli()
