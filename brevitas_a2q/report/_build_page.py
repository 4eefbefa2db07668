"""The page of a build: the units as a diagram, and what was measured and synthesised beside the estimate."""

from __future__ import annotations

from dataclasses import dataclass

from brevitas_a2q._files import write_atomically
from brevitas_a2q.hw._streams import edges
from brevitas_a2q.report._html import render
from brevitas_a2q.rtl._report import BuildReport

__all__ = ["Arrow", "Box", "build_page", "diagram"]

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 260, 46, 30, 34


@dataclass(frozen=True)
class Box:
    """A unit in the diagram; lengths in pixels."""

    x: int
    y: int
    name: str
    detail: str


@dataclass(frozen=True)
class Arrow:
    """A stream between two boxes."""

    x1: int
    y1: int
    x2: int
    y2: int
    label: str


def diagram(report: BuildReport) -> tuple[list[Box], list[Arrow], int, int]:
    """Boxes of the units, one row for every distance from the input; arrows of the streams; width and height."""
    graph, rows = report.accelerator.netlist.graph, {row["name"]: row for row in report.units()}
    level: dict[str, int] = {"": -1}
    used: dict[int, int] = {}
    boxes: dict[str, Box] = {}
    for unit in graph.units:
        at = level[unit.name] = 1 + max(level[name] for name in unit.inputs)
        row, place = rows[unit.name], used.get(at, 0)
        used[at] = place + 1
        folded = ", ".join(f"{k} {row[v]}" for k, v in (("PE", "pe"), ("SIMD", "simd")) if row[v])
        bits = f", P = {row['accumulator_bit_width']}" if row["accumulator_bit_width"] else ""
        detail = f"{unit.kind}{', ' if folded else ''}{folded}{bits}"
        boxes[unit.name] = Box(place * (_WIDTH + _GAP_X), at * (_HEIGHT + _GAP_Y), unit.name, detail)
    arrows = []
    for edge in edges(graph):
        if not edge.producer:
            continue
        start, end = boxes[edge.producer], boxes[edge.consumer]
        several = len(graph[edge.consumer].inputs) > 1
        fifo = rows.get(f"{edge.consumer}:{edge.port}/fifo" if several else f"{edge.consumer}/fifo", {})
        fill = f", filled {fifo['fill']}" if fifo.get("fill") is not None else ""
        label = f"{rows[edge.producer]['stream_width']} bits, FIFO {fifo.get('built_depth')}{fill}"
        middle = _WIDTH // 2
        arrows.append(Arrow(start.x + middle, start.y + _HEIGHT, end.x + middle, end.y, label))
    width = max(used.values()) * (_WIDTH + _GAP_X)
    return list(boxes.values()), arrows, width, (max(level.values()) + 1) * (_HEIGHT + _GAP_Y)


def build_page(report: BuildReport) -> None:
    """Write ``index.html`` into the build's folder."""
    boxes, arrows, width, height = diagram(report)
    text = render(
        "build.html.j2",
        report=report,
        estimate=report.estimate,
        rows=report.units(),
        boxes=boxes,
        arrows=arrows,
        width=width,
        height=height,
        box=(_WIDTH, _HEIGHT),
    )
    write_atomically(report.folder / "index.html", text)
