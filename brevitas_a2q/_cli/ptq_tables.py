"""What ``brevitas-a2q ptq`` and ``brevitas-a2q narrow`` share: progress, tables and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from brevitas_a2q._cli.console import say, show
from brevitas_a2q._terminal import marked, visible

if TYPE_CHECKING:
    from brevitas_a2q.ptq._report import PostTrainingReport
    from brevitas_a2q.ptq._saved import Saved

__all__ = ["Points", "layer_progress", "print_post_training", "report_json", "widths_option"]

Points = list[dict[str, Any]]  # of the search for least widths: kind, mean_bit_width, score, output_error, lut


def widths_option(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """``4,8`` as numbers."""
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"found {text!r}; expected numbers such as 4,8", context, option) from None


@contextmanager
def layer_progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar over the layers of a pass on a terminal, a line for each elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("layers", total=None)

        def show(name: str, done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, description=marked(name))
            if not console.is_terminal:
                console.print(f"layer {done}/{total}: {visible(name)}", markup=False)

        yield show


def report_json(report: PostTrainingReport, saved: Saved, points: Points) -> dict[str, Any]:
    """One object of all that a run found."""
    values = report.to_json()
    del values["spec"]
    if points:
        values["trials"] = points
    return {
        **values,
        "certificate": saved.certificate.to_json(),
        "file": None if saved.file is None else str(saved.file),
        "file_reason": saved.reason,
        "estimate": saved.estimate,
        "estimate_reason": saved.estimate_reason,
    }


def print_post_training(report: PostTrainingReport, saved: Saved, points: Points) -> None:
    """The same as tables."""
    show(_layers(report), ("P", "needs", "N"))
    if points:
        show(_points(points), ("P", "score", "LUT"))
    say(report.summary)
    table = Table("", "value")
    held = "holds" if saved.certificate.holds else "DOES NOT HOLD"
    table.add_row("certificate", f"{held}: {saved.certificate.targets} accumulators, whatever the input")
    if saved.certificate.uncovered:
        table.add_row("not covered", marked("\n".join(saved.certificate.uncovered[:8])))
    table.add_row("QONNX file", marked(str(saved.file) if saved.file else saved.reason or ""))
    total = None if saved.estimate is None else saved.estimate["total"]
    costs = saved.estimate_reason if total is None else ", ".join(f"{v:,} {k}" for k, v in total.items())
    table.add_row("estimate", marked(costs or ""))
    show(table, ("value",))


def _layers(report: PostTrainingReport) -> Table:
    from brevitas_a2q.ptq._report import COLUMNS

    gains = any(row.gain is not None for row in report.rows)
    table = Table(title="Layers")
    for heading in (*COLUMNS, *(["gain"] if gains else [])):
        table.add_column(heading, justify="left" if heading in COLUMNS[:2] else "right")
    for row in report.rows:
        gain = [] if not gains else ["" if row.gain is None else f"{row.gain:.2f}"]
        table.add_row(*(marked(cell) for cell in row.cells()), *gain)
    return table


def _points(points: Points) -> Table:
    counted = any(point.get("lut") is not None for point in points)
    table = Table(title="Networks that were tried")
    table.add_column("widths")
    for heading in ("P", "score", "output error", *(["LUT"] if counted else [])):
        table.add_column(heading, justify="right")
    for point in sorted(points, key=lambda point: -float(point["mean_bit_width"])):
        lut = [] if not counted else ["" if point.get("lut") is None else f"{point['lut']:,}"]
        cells = (f"{point['mean_bit_width']:.1f}", f"{point['score']:.2f} %", f"{point['output_error']:.4f}")
        table.add_row(point["kind"], *cells, *lut)
    return table
