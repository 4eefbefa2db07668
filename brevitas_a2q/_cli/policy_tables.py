"""``--accumulator 32,data-type,exact,trained``: estimates of one network under several policies, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from brevitas_a2q._cli.console import say, show
from brevitas_a2q._terminal import marked

if TYPE_CHECKING:
    from brevitas_a2q.hw._estimation import Estimate

__all__ = ["policies_json", "policies_of", "print_policies"]


def policies_of(text: str) -> tuple[str, ...]:
    """The policies that an option names.

    Raises:
        UsageError: None, or one twice.
        A2QError: An unknown one.
    """
    from brevitas_a2q.hw._policies import parse_policy

    found = tuple(part.strip() for part in text.split(","))
    if len(set(found)) < len(found):
        raise click.UsageError(f"found --accumulator {text!r}; expected each policy once")
    for policy in found:
        parse_policy(policy)
    return found


def policies_json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """One object with the estimate of each policy."""
    return {"policies": {policy: estimate.to_json() for policy, estimate in estimates.items()}}


def print_policies(estimates: Mapping[str, Estimate]) -> None:
    """Totals, then P and LUTs of every layer with an accumulator."""
    first = next(iter(estimates.values()))
    totals = Table(title=f"{marked(first.network)} on {first.part.name}, {first.clock_mhz:g} MHz")
    totals.add_column("accumulators")
    for heading in ("LUT", "BRAM18", "URAM", "DSP", "frames per second", "fits"):
        totals.add_column(heading, justify="right")
    for policy, estimate in estimates.items():
        total = estimate.total
        counts = (total.lut, total.bram18, total.uram, total.dsp)
        fits = "yes" if estimate.fits else "[bold red]NO[/bold red]"
        totals.add_row(policy, *(f"{count:,}" for count in counts), f"{estimate.fps:,.1f}", fits)
    show(totals, ("LUT", "fits", "BRAM18", "DSP"))
    for quantity in ("P", "LUT"):
        show(_layers(estimates, quantity), tuple(estimates))
    for line in dict.fromkeys(f"warning: {w}" for estimate in estimates.values() for w in estimate.warnings):
        say(line)


def _layers(estimates: Mapping[str, Estimate], quantity: str) -> Table:
    table = Table(title=f"{quantity} of every layer with an accumulator")
    table.add_column("layer")
    for policy in estimates:
        table.add_column(policy, justify="right")
    rows = [[row for row in estimate.rows if row.accumulator_bit_width is not None] for estimate in estimates.values()]
    for same in zip(*rows, strict=True):
        table.add_row(marked(same[0].name), *_values(same, quantity))
    return table


def _values(rows: Sequence[Any], quantity: str) -> list[str]:
    return [str(row.accumulator_bit_width) if quantity == "P" else f"{row.resources.lut:,}" for row in rows]
