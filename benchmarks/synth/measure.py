"""Measure the units of ``configurations.py`` into ``data/measured.csv``.

Run ``python benchmarks/synth/measure.py [circuit ...]``; a few minutes for all of them on one core.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from configurations import configurations
from synthesise import synthesise

PATH = Path(__file__).resolve().parent / "data" / "measured.csv"
COLUMNS = ("lut_pack", "lut_carry", "lutram", "ff", "dsp", "bram18")


def main(circuits: Sequence[str]) -> None:
    """Measure the configurations of these circuits (all if none is named) and rewrite their rows of the file."""
    jobs = [job for job in configurations() if not circuits or job.circuit in circuits]
    measured = {job.circuit for job in jobs}
    rows = []
    if PATH.exists():
        with PATH.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["circuit"] not in measured]
    for job, counts in zip(jobs, synthesise(jobs), strict=True):
        if counts is None:
            sys.stderr.write(f"failed: {job}\n")
        else:
            parameters = " ".join(f"{name}={value}" for name, value in job.parameters.items())
            rows.append({"circuit": job.circuit, "parameters": parameters, **{c: counts[c] for c in COLUMNS}})
    with PATH.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["circuit", "parameters", *COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
