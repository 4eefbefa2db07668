"""Thresholds searched, and all compared at once: what synthesis makes of either circuit.

    python benchmarks/synth/at_once.py [--cache FOLDER]    # rewrites at_once.md; about five minutes

Four lanes of random thresholds in LUTs; the rows say LUTs and flip-flops of the whole unit. Which circuit a unit has is
decided by :meth:`brevitas_a2q.hw._cost.synthesis.search.SearchTable.parallel`; this is why it decides as it does.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
from circuits import instance_of, synthesised

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.search import SearchTable
from brevitas_a2q.hw._ir import Folding, Thresholding
from brevitas_a2q.rtl._netlist import Instance

OUT = Path(__file__).resolve().parent / "at_once.md"
LANES = 4
STEPS, WORDS, BITS = (2, 3, 7, 15), (1, 2, 4, 8, 16, 32), (4, 8, 12, 16)
HEAD = (
    "# Thresholds searched, and all compared at once",
    "",
    f"`python benchmarks/synth/at_once.py`: LUT / flip-flops of {LANES} lanes, UltraScale+, random thresholds of",
    "as many bits as the values. Channels: that a lane meets in turn.",
    "",
    "| thresholds | channels | " + " | ".join(f"{bits} bits, searched | at once" for bits in BITS) + " |",
    "|---|---|" + "---|---|" * len(BITS),
)


def circuit(rng: np.random.Generator, steps: int, words: int, bits: int) -> Thresholding:
    """A unit of random thresholds."""
    read = IntType.of(bits, signed=True)
    return Thresholding(
        name="codes",
        inputs=("x",),
        input_type=read,
        output_type=IntType.of(steps.bit_length(), signed=False),
        channels=LANES * words,
        pixels=1,
        thresholds=np.sort(rng.integers(read.range.lo + 1, read.range.hi, (LANES * words, steps)), axis=1),
    )


@click.command()
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of results by content.")
def main(cache: Path | None) -> None:
    """Measure, and write the page."""
    rng, instances = np.random.default_rng(0), dict[tuple[int, int, int, bool], Instance]()
    for steps in STEPS:
        for words in WORDS:
            for bits in BITS:
                unit = circuit(rng, steps, words, bits)
                for at_once in (False, True):
                    name = f"{'at_once' if at_once else 'searched'}_{steps}_{words}_{bits}"
                    with patch.object(SearchTable, "parallel", lambda table, *, block, at_once=at_once: at_once):
                        instances[steps, words, bits, at_once] = instance_of(name, unit, Folding(LANES))
    counts = synthesised(list(instances.values()), cache or Path(tempfile.mkdtemp()), workers=1)
    lines = list(HEAD)
    for steps in STEPS:
        for words in WORDS:
            found = [counts[instances[steps, words, b, how].name] for b in BITS for how in (False, True)]
            lines.append(f"| {steps} | {words} | " + " | ".join(f"{c.lut} / {c.ff}" for c in found) + " |")
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
