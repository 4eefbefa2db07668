"""Synthesise the samples that ``data/units.csv`` lacks, as the accelerator builds them.

    python benchmarks/synth/measure.py [--cache FOLDER] [--workers 2]

Results are kept by content, so that only units whose RTL, parameters or memories changed are synthesised again.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import click
from circuits import instances_of, synthesised
from samples import samples

PATH = Path(__file__).resolve().parent / "data" / "units.csv"


@click.command()
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of results by content.")
@click.option("--workers", default=1, show_default=True)
@click.option("--kind", "kinds", multiple=True, help="Only samples whose name starts so; the others' lines stay.")
def main(cache: Path | None, workers: int, kinds: tuple[str, ...]) -> None:
    """Measure, and write the file."""
    wanted = [s for s in samples() if not kinds or s.name.startswith(kinds)]
    instances = [i for s in wanted for i in instances_of(s.name, s.unit, s.folding)]
    counts = synthesised(instances, cache or Path(tempfile.mkdtemp()), workers=workers)
    with PATH.open(newline="") as file:
        known = {line["sample"]: list(line.values()) for line in csv.DictReader(file)} if kinds else {}
    with PATH.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sample", "kind", "lut", "ff", "bram18", "dsp"])
        for s in samples():
            if s.name in counts:
                c = counts[s.name]
                writer.writerow([s.name, s.unit.kind, c.lut, c.ff, c.bram18, c.dsp])
            elif s.name in known:
                writer.writerow(known[s.name])


if __name__ == "__main__":
    main()
