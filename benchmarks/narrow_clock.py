"""Does a narrow accumulator clock higher? One layer at P bits, placed and routed from several seeds.

A layer (weights as in ``narrow.py``), its sums leaving, is a whole accelerator with AXI-Stream ports, synthesised for
a Lattice ECP5 by Yosys, placed and routed out of context by nextpnr towards a clock that it cannot reach. The weights
are those of the narrowest P throughout, so that only the accumulator's width differs. The clock is that of the slowest
path between registers, which ends in the accumulator or elsewhere; its spread over seeds is the router's luck.

    python benchmarks/narrow_clock.py run       # appends what results/narrow_clock.json lacks
    python benchmarks/narrow_clock.py report    # results/narrow_clock.md
"""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click
from narrow import PART, RESULTS, Regime, integer_weights, known, unit_of

from brevitas_a2q._files import write_atomically
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._ir import Graph
from brevitas_a2q.rtl._circuit import Context
from brevitas_a2q.rtl._generate import write_accelerator
from brevitas_a2q.rtl._netlist import build_netlist
from brevitas_a2q.rtl._place_route import route, synthesise_ecp5

FILE = "narrow_clock.json"
WIDTHS, SEEDS, TARGET_MHZ = (10, 16, 24, 32), tuple(range(1, 9)), 400.0


@dataclass(frozen=True)
class Built:
    """A layer and how it is built."""

    bits: int  # of weights and inputs
    products: int
    outputs: int
    pe: int = 1
    simd: int = 1
    levels: int = 1  # of adders between two registers
    weights: Literal["block", "distributed"] = "distributed"


UNITS = {
    "one multiplier of 2 bits, 16 products: nearly an accumulator alone": Built(2, 16, 1),
    "one multiplier of 4 bits": Built(4, 64, 4),
    "one multiplier of 4 bits, weights in block RAM": Built(4, 64, 4, weights="block"),
    "4 x 16 of 2 bits, a register behind every adder": Built(2, 64, 4, 4, 16),
    "4 x 16 of 4 bits, a register behind every adder": Built(4, 64, 4, 4, 16),
    "4 x 16 of 4 bits, a register behind four adders": Built(4, 64, 4, 4, 16, levels=4),
}


def clocks(name: str, width: int, seeds: tuple[int, ...], folder: Path) -> list[dict[str, Any]]:
    """One unit at P bits, from every seed."""
    built = UNITS[name]
    regime = Regime(name, built.bits, built.products, built.outputs, WIDTHS, built.pe, built.simd)
    unit, folding = unit_of(regime, integer_weights(regime, WIDTHS[0]), width)
    folding = replace(folding, ram_style=built.weights)
    context = Context(Graph("layer", (unit,)), {unit.name: folding}, find_part(PART), built.levels)
    netlist = synthesise_ecp5(write_accelerator(build_netlist(context, {}), context, folder))
    found = []
    for seed in seeds:
        placed = route(netlist, TARGET_MHZ, seed)
        row = {"unit": name, "P": width, "seed": seed, "max_mhz": placed.max_mhz}
        row |= {"lut4": placed.used.get("TRELLIS_COMB", 0), "ff": placed.used.get("TRELLIS_FF", 0)}
        found.append(row | {"slowest_path": placed.slowest_path})
        click.echo(str(found[-1]))
    return found


@click.group()
def cli() -> None:
    """Clock frequency by the accumulator's width."""


@cli.command()
def run() -> None:
    """Measure what is missing."""
    for name in UNITS:
        for width in WIDTHS:
            done = {row["seed"] for row in known(FILE) if (row["unit"], row["P"]) == (name, width)}
            seeds = tuple(seed for seed in SEEDS if seed not in done)
            if seeds:
                with tempfile.TemporaryDirectory() as folder:
                    rows = known(FILE) + clocks(name, width, seeds, Path(folder))
                lines = ",\n".join(json.dumps(row) for row in rows)
                write_atomically(RESULTS / FILE, f"[\n{lines}\n]\n")


@cli.command()
def report() -> None:
    """Write the table."""
    text = (__doc__ or "").split("\n\n")[1].replace("\n", " ")
    text = f"# Clock frequency by the accumulator's width\n\n{text}\n\n"
    text += "| unit | P | LUT4 | flip-flops | MHz | deviation | lowest to highest | the accumulator limits |\n"
    text += "|---|---|---|---|---|---|---|---|\n"
    for name in UNITS:
        for width in WIDTHS:
            rows = [row for row in known(FILE) if (row["unit"], row["P"]) == (name, width)]
            if not rows:
                continue
            mhz = [row["max_mhz"] for row in rows]
            limits = sum(row["slowest_path"][1].startswith("m_axis_tdata") for row in rows)  # the sums' registers
            text += (
                f"| {name} | {width} | {rows[0]['lut4']:,} | {rows[0]['ff']:,} | {statistics.mean(mhz):.0f} | "
                f"{statistics.stdev(mhz):.0f} | {min(mhz):.0f} to {max(mhz):.0f} | {limits} of {len(rows)} |\n"
            )
    write_atomically(RESULTS / "narrow_clock.md", text)


if __name__ == "__main__":
    cli()
