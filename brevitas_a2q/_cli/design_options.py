"""Options and tables that the estimator's commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from rich.table import Table

from brevitas_a2q._terminal import marked
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ, DEFAULT_PART

if TYPE_CHECKING:
    from brevitas_a2q.hw._build_options import BuildOptions, Hardware, Units
    from brevitas_a2q.hw._design import Row
    from brevitas_a2q.hw._estimation import Estimate
    from brevitas_a2q.hw._units.finn_node import Version

__all__ = [
    "ESTIMATE_KEEP",
    "build_options",
    "chosen_build",
    "design_options",
    "estimate_table",
    "finn_build_options",
    "summary",
    "weights_option",
]

F = TypeVar("F", bound=Callable[..., Any])
ESTIMATE_KEEP: Final = ("LUT", "cycles", "P")  # columns that a narrow terminal shows


def design_options(command: F, several: bool = False) -> F:
    """``--part``, ``--clock-mhz``, ``--accumulator`` (or several of them, with commas) and ``--json``."""
    policies = "32, data-type, range, exact, trained, or fixed:P"
    options = (
        click.option("--part", default=DEFAULT_PART, show_default=True, help="Part, board, or YAML file with one."),
        click.option("--clock-mhz", type=float, default=DEFAULT_CLOCK_MHZ, show_default=True, help="Clock in MHz."),
        click.option(
            "--accumulator",
            default="trained",
            show_default=True,
            metavar="POLICY",
            help=f"Accumulator widths: {policies}{'; several with commas' if several else ''}.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _weights(context: click.Context, option: click.Parameter, text: str | None) -> dict[str, float] | None:
    """``bram18=100,dsp=30`` as a mapping."""
    weights = {}
    for entry in (text or "").split(","):
        name, _, value = entry.strip().partition("=")
        if name:
            try:
                weights[name] = float(value)
            except ValueError:
                raise click.BadParameter(f"{entry!r}: expected NAME=LUTS", context, option) from None
    return weights or None


def weights_option(command: F) -> F:
    """``--lut-equivalent``."""
    return click.option(
        "--lut-equivalent",
        "weights",
        metavar="NAME=LUTS,...",
        callback=_weights,
        help="LUTs that one bram18, uram or dsp counts as; by default as many as the part has for each.",
    )(command)


def build_options(command: F) -> F:
    """What is built: ``--target``, ``--finn-version``, ``--standalone-thresholds`` and ``--units``."""
    options = (
        click.option(
            "--target",
            type=click.Choice(["rtl", "finn"]),
            default="rtl",
            show_default=True,
            help="Whose units: our RTL as synthesis counts it, or FINN's as Vivado maps them.",
        ),
        click.option(
            "--finn-version",
            type=click.Choice(["main", "dev", "plus"]),
            default="main",
            show_default=True,
            help="FINN whose kinds and names the folding file has; plus is finn-plus 1.6.",
        ),
        click.option(
            "--standalone-thresholds", is_flag=True, help="Thresholds as units of their own (FINN's build option)."
        ),
        click.option(
            "--units",
            type=click.Choice(["folded", "all"]),
            default="folded",
            show_default=True,
            help="all: unrolled ones too, whose weights are constants; FINN has none.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def chosen_build(target: Hardware, finn_version: str, standalone_thresholds: bool, units: Units) -> BuildOptions:
    """The options of :func:`build_options` as a value; finn-plus has dev's kinds and names."""
    from brevitas_a2q.hw._build_options import BuildOptions

    version: Version = "main" if finn_version == "main" else "dev"
    return BuildOptions(version, standalone_thresholds, target, units)


def finn_build_options(command: F) -> F:
    """FINN's build options that its estimate depends on; see :class:`brevitas_a2q.hw.FinnOptions`."""
    styles = click.Choice(["auto", "block", "distributed", "ultra"])
    options = (
        click.option("--prefer-hls", is_flag=True, help="FINN models: HLS wherever there is a choice."),
        click.option("--ram-style", type=styles, help="FINN models: memory of the weights."),
        click.option("--ram-style-thresholds", type=styles, help="FINN models: memory of thresholds inside an MVAU."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def estimate_table(estimate: Estimate) -> Table:
    """One line per unit, width converter and FIFO, and the totals against the part."""
    table = Table(title=f"{marked(estimate.network)} on {estimate.part.name}, {estimate.clock_mhz:g} MHz")
    for heading in ("layer", "op"):
        table.add_column(heading)
    for heading in ("PE", "SIMD", "P", "LUT", "BRAM18", "URAM", "DSP", "cycles"):
        table.add_column(heading, justify="right")
    for row in estimate.rows:
        table.add_row(*_cells(row))
    table.add_section()
    total, part = estimate.total, estimate.part
    pairs = ((total.lut, part.lut), (total.bram18, part.bram18), (total.uram, part.uram), (total.dsp, part.dsp))
    table.add_row(
        "total", "", "", "", "", *(f"{used:,}" for used, _ in pairs), f"{estimate.max_cycles:,}", style="bold"
    )
    table.add_row("of the part", "", "", "", "", *(_share(used, have) for used, have in pairs), "")
    return table


def _cells(row: Row) -> list[str]:
    resources = row.resources
    numbers = (row.pe, row.simd, row.accumulator_bit_width)
    counts = (resources.lut, resources.bram18, resources.uram, resources.dsp, row.cycles)
    op = row.op if row.depth is None else f"{row.op} {row.depth}"
    op = f"{op} {row.multipliers}" if row.multipliers in ("dsp", "unrolled") else op
    return [
        marked(row.name),
        op,
        *("" if n is None else str(n) for n in numbers),
        *("" if n is None else f"{n:,}" for n in counts),
    ]


def _share(used: int, have: int) -> str:
    if not have:
        return "none" if used else "-"
    return f"{used / have:.1%}"


def summary(estimate: Estimate) -> list[str]:
    """Speed, fit, and what the reader should know, one sentence each."""
    share, latency = estimate.utilization[estimate.tightest], estimate.latency_us
    lines = [
        f"{estimate.fps:,.1f} frames per second; one image takes {latency:,.{1 if latency >= 1 else 3}f} us; "
        f"{estimate.bottleneck} is the slowest",
        f"{'fits' if estimate.fits else 'DOES NOT FIT'} {estimate.part.name}: the tightest resource is "
        f"{estimate.tightest.upper()}, {share:.1%} of it used",
    ]
    return [*lines, *(f"note: {note}" for note in estimate.notes), *(f"warning: {w}" for w in estimate.warnings)]
