"""The estimator held against the accelerator itself: LUTs by synthesis, interval, latency and FIFO fills by simulation.

    python benchmarks/rtl.py synthesize [--network tfc ...]  # appends what results/rtl.jsonl lacks
    python benchmarks/rtl.py report                          # results/rtl.md: LUTs
    python benchmarks/rtl.py simulate [--network tfc ...]    # results/rtl_simulated.md: timing and FIFOs

Every network is folded for three frame rates (``results/rtl_foldings.json``). It is synthesised with the trained
accumulators and with 32 bits, and simulated with the trained ones: how wide they are changes no cycle. Words are
compared with the reference at every unit, three images a run. Networks without a file of their own are exported with
random weights and calibrated on noise, seed 1.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click

from brevitas_a2q import hw

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "rtl.jsonl"
SIMULATED = HERE / "results" / "rtl_simulated.md"
FOLDINGS = HERE / "results" / "rtl_foldings.json"
ORACLE = HERE.parent.parent / "shared" / "oracle" / "models"
CLOCK_MHZ, PART = 200.0, "xczu7ev"
SIMULATED_HEAD = (
    "# Intervals, latencies and FIFOs by simulation",
    "",
    f"`python benchmarks/rtl.py simulate`, {PART}, {CLOCK_MHZ:g} MHz, trained accumulators, the designs of `rtl.md`,",
    "three random images each, Verilator. FIFO: words built, and the largest fills in sum; in brackets those of FIFOs",
    "of more than two words alone; ratio: of the two sums.",
    "",
    "| network | cycles asked | words (differ) | interval RTL / est. | latency RTL / est. | error |"
    " FIFO words / fill | ratio |",
    "|---|---|---|---|---|---|---|---|",
)
# Cycles per image to fold for.
NETWORKS: dict[str, tuple[int, ...]] = {
    "digits": (40_000, 10_000, 3_000),
    "tfc": (60_000, 15_000, 4_000),
    "espcn": (9_000, 3_000, 1_000),
    "mobilenet_block": (9_000, 3_000, 1_000),
    "resnet_small": (9_000, 3_000, 1_500),
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

        model = build_model("digits-cnn", QuantSpec()).train()
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


def foldings_of(network: str, cycles: int, path: Path) -> dict[str, hw.Folding]:
    """The design that is measured: the optimal folding of the day it was first asked for, kept ever since.

    So an estimate can be held against the same circuits after its laws have changed.
    """
    kept = json.loads(FOLDINGS.read_text()) if FOLDINGS.exists() else {}
    name = f"{network} {cycles}"
    if name not in kept:
        found = hw.fold(path, PART, CLOCK_MHZ * 1e6 / cycles, clock_mhz=CLOCK_MHZ).estimate.foldings
        kept[name] = {unit: replace(folding, fifo_depths=None).__dict__ for unit, folding in found.items()}
        FOLDINGS.write_text(json.dumps(kept, indent=1) + "\n")
    return {unit: hw.Folding(**values) for unit, values in kept[name].items()}


def measured(path: Path, foldings: dict[str, hw.Folding], accumulator: str, folder: Path) -> dict[str, Any]:
    """One build: LUTs of every unit, and the depths of FIFOs that it was built with."""
    started = time.perf_counter()
    options: dict[str, Any] = {"accumulator": accumulator, "synthesis_cache": folder.parent / "synthesis"}
    report = hw.build(path, folder, PART, None, CLOCK_MHZ, foldings, synthesize=True, **options)
    document = report.to_json()
    depths = {unit: list(f.fifo_depths) for unit, f in report.estimate.foldings.items() if f.fifo_depths is not None}
    return {
        "fifo_depths": depths,
        "units": {u["name"]: [u["op"], u["synthesis"]["lut"] if u["synthesis"] else None] for u in document["units"]},
        "synthesis": document["synthesis"],
        "not_synthesised": sorted(document["failed_synthesis"]),
        "seconds": round(time.perf_counter() - started, 1),
    }


def rows() -> list[dict[str, Any]]:
    """What has been measured, network by network."""
    found = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    return sorted(found, key=lambda row: (list(NETWORKS).index(row["network"]), -row["cycles"], row["accumulator"]))


@click.group()
def cli() -> None:
    """Estimates against RTL."""


@cli.command()
@click.option("--network", "names", multiple=True, type=click.Choice(list(NETWORKS)), help="Repeatable; all.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps builds and synthesis results.")
def synthesize(names: tuple[str, ...], folder: Path | None) -> None:
    """Measure what is missing."""
    work = folder or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    known = {(row["network"], row["cycles"], row["accumulator"]) for row in rows()}
    for name in names or NETWORKS:
        for cycles in NETWORKS[name]:
            for accumulator in ("trained", "32"):
                if (name, cycles, accumulator) in known:
                    continue
                path = path_of(name, work)
                foldings = foldings_of(name, cycles, path)
                found = measured(path, foldings, accumulator, work / f"{name}_{cycles}_{accumulator}")
                row = {"network": name, "cycles": cycles, "accumulator": accumulator, **found}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                click.echo(f"{name} {cycles} {accumulator}: {found['seconds']} s, {found['synthesis']['lut']} LUTs")


def _error(estimate: float | None, true: float | None) -> str:
    return "" if not true or estimate is None else f"{estimate / true - 1:+.1%}"


@cli.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Where the networks' files are kept.")
def report(folder: Path | None) -> None:
    """Estimate every design that was measured, and write the tables."""
    work = folder or Path(tempfile.mkdtemp())
    lines = [
        "# Estimates against the RTL",
        "",
        f"`python benchmarks/rtl.py report`, {PART}, {CLOCK_MHZ:g} MHz. Errors are estimate / RTL - 1. Median unit: of",
        "the absolute errors of units, FIFOs and converters apart. Timing of the same designs: `rtl_simulated.md`.",
        "",
        "| network | cycles asked | P | LUT Yosys / est. | error | median unit |",
        "|---|---|---|---|---|---|",
    ]
    kinds: dict[str, list[tuple[int, int]]] = {}
    for row in rows():
        path = path_of(row["network"], work)
        foldings = {
            unit: replace(folding, fifo_depths=tuple(row["fifo_depths"][unit]) if unit in row["fifo_depths"] else None)
            for unit, folding in foldings_of(row["network"], row["cycles"], path).items()
        }
        found = hw.estimate(path, PART, None, CLOCK_MHZ, accumulator=row["accumulator"], foldings=foldings)
        guesses = {line.name: line.resources.lut for line in found.rows}
        errors = []
        for name, (kind, lut) in row["units"].items():
            if lut is not None:
                kinds.setdefault(kind, []).append((guesses[name], lut))
                if kind not in ("Fifo", "DataWidthConverter") and lut:
                    errors.append(abs(guesses[name] / lut - 1))
        lut, guess = row["synthesis"]["lut"], sum(guesses[n] for n, u in row["units"].items() if u[1] is not None)
        lines.append(
            f"| {row['network']} | {row['cycles']:,} | {row['accumulator']} | {lut:,} / {guess:,} |"
            f" {_error(guess, lut)} | {median(errors):.1%} |"
        )
    lines += ["", "By kind, all rows together:", "", "| kind | units | LUT est. | LUT Yosys | error | median |"]
    lines += ["|---|---|---|---|---|---|"]
    for kind, pairs in sorted(kinds.items(), key=lambda item: -sum(true for _, true in item[1])):
        guess, true = (sum(column) for column in zip(*pairs, strict=True))
        middle = median(abs(g / t - 1) for g, t in pairs if t)
        lines.append(f"| {kind} | {len(pairs)} | {guess:,} | {true:,} | {_error(guess, true)} | {middle:.1%} |")
    (HERE / "results" / "rtl.md").write_text("\n".join(lines) + "\n")


@cli.command()
@click.option("--network", "names", multiple=True, type=click.Choice(list(NETWORKS)), help="Repeatable; all.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps networks and builds.")
def simulate(names: tuple[str, ...], folder: Path | None) -> None:
    """Simulate every design with its trained accumulators, without synthesis; lines of other networks stay."""
    work = folder or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    known = {}
    if SIMULATED.exists():
        for line in SIMULATED.read_text().splitlines():
            known.update({(name, line.split(" | ")[1]): line for name in NETWORKS if line.startswith(f"| {name} |")})
    for name in names or NETWORKS:
        for cycles in NETWORKS[name]:
            path = path_of(name, work)
            report = hw.build(
                path, work / "simulated", PART, None, CLOCK_MHZ, foldings_of(name, cycles, path), simulate=3
            )
            d = report.to_json()
            fifos = [(u["built_depth"], u["fill"]) for u in d["units"] if u["op"] == "Fifo"]
            interval = f"{d['interval_cycles']:,} / {d['estimated_interval_cycles']:,}"
            latency = f"{d['latency_cycles']:,} / {d['estimated_latency_cycles']:,}"
            error = _error(d["estimated_latency_cycles"], d["latency_cycles"])
            words, deep = f"{d['words']:,} ({d['mismatches']})", [pair for pair in fifos if pair[0] > 2]
            ratio = f"{sum(a for a, _ in fifos) / sum(b for _, b in fifos):.2f}"
            cells = (name, f"{cycles:,}", words, interval, latency, error, f"{_ratio(fifos)} ({_ratio(deep)})", ratio)
            known[name, f"{cycles:,}"] = f"| {' | '.join(cells)} |"
            order = [known[n, f"{c:,}"] for n in NETWORKS for c in NETWORKS[n] if (n, f"{c:,}") in known]
            SIMULATED.write_text("\n".join([*SIMULATED_HEAD, *order]) + "\n")
            click.echo(known[name, f"{cycles:,}"])


def _ratio(fifos: list[tuple[int, int]]) -> str:
    return " / ".join(f"{sum(column):,}" for column in zip(*fifos, strict=True)) if fifos else "-"


if __name__ == "__main__":
    cli()
