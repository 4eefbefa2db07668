"""Measure the units of ``configurations.py`` that ``data/measured.csv`` lacks.

Run ``python benchmarks/synth/measure.py [circuit ...]``: circuits that are named are measured anew. All of them
take some minutes on one core.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from configurations import configurations
from synthesise import BATCH, Job, synthesise

PATH = Path(__file__).resolve().parent / "data" / "measured.csv"
COLUMNS = ("lut_pack", "lut_carry", "lutram", "ff", "dsp", "bram18")
FOREIGN = "dsp core"  # measured on RTL that is not part of this repository, and kept


def main(circuits: Sequence[str]) -> None:
    """Measure what is missing and rewrite the file, batch by batch; rows of no configuration are dropped."""
    jobs = {(job.circuit, _text(job)): job for job in configurations()}
    measured = {
        key: row for key, row in _read().items() if (key in jobs and key[0] not in circuits) or key[0] == FOREIGN
    }
    missing = [key for key in jobs if key not in measured]
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        for key, counts in zip(batch, synthesise([jobs[key] for key in batch]), strict=True):
            measured[key] = {"circuit": key[0], "parameters": key[1], **{c: counts[c] for c in COLUMNS}}
        order = {key: i for i, key in enumerate(jobs)}
        _write([measured[key] for key in sorted(measured, key=lambda key: order.get(key, len(order)))])


def _text(job: Job) -> str:
    return " ".join(f"{name}={value}" for name, value in job.parameters.items())


def _read() -> dict[tuple[str, str], dict[str, object]]:
    if not PATH.exists():
        return {}
    with PATH.open(newline="") as file:
        return {(row["circuit"], row["parameters"]): dict(row) for row in csv.DictReader(file)}


def _write(rows: Sequence[dict[str, object]]) -> None:
    with PATH.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["circuit", "parameters", *COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
