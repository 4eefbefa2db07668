"""Tables of held-out errors, ours and FINN's, by kind of circuit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fit import Row

_HEAD = """# Error on rows that the fit did not see

Absolute relative error of LUTs, in per cent, against synthesis (Yosys 0.70, UltraScale+, packed LUTs). Ours is the
error of cross-validation; FINN's is that of its formulas on the same rows (100 where FINN says 0). "Slope" is the
median error of the slope along P, over groups of rows that differ in P only. Written by `benchmarks/synth/fit.py`.
"""
_TABLE = """
Rows of {}:

| circuit | rows | median | p90 | largest | median, LUTs | sum | slope | FINN median | FINN p90 |
|---|---|---|---|---|---|---|---|---|---|
"""


def summarise(predicted: Sequence[tuple[Row, float]]) -> list[dict[str, Any]]:
    """One line per group of circuits."""
    groups: dict[str, list[tuple[Row, float]]] = defaultdict(list)
    for sample, ours in predicted:
        groups[sample.group].append((sample, round(ours)))
    return [_line(name, rows) for name, rows in groups.items()]


def _line(name: str, rows: Sequence[tuple[Row, float]]) -> dict[str, Any]:
    ours = [(s, p) for s, p in rows if s.lut]
    finn = [(s, s.finn) for s, _ in rows if s.lut and s.finn is not None]
    return {
        "circuit": name,
        "rows": len(rows),
        "ours sum": round(sum(p for _, p in ours) / sum(s.lut for s, _ in ours) - 1, 4) if ours else None,
        **{f"ours {key}": value for key, value in _errors(ours).items()},
        **{f"finn {key}": value for key, value in _errors(finn).items()},
    }


def _errors(rows: Sequence[tuple[Row, float]]) -> dict[str, float | None]:
    errors = [abs(p - s.lut) / s.lut for s, p in rows]
    if not errors:
        return dict.fromkeys(("median", "p90", "largest", "luts", "slope"))
    slopes = _slopes(rows)
    return {
        "median": round(float(np.median(errors)), 4),
        "p90": round(float(np.quantile(errors, 0.9)), 4),
        "largest": round(max(errors), 4),
        "luts": round(float(np.median([abs(p - s.lut) for s, p in rows])), 1),
        "slope": round(float(np.median(slopes)), 4) if slopes else None,
    }


def _slopes(rows: Sequence[tuple[Row, float]]) -> list[float]:
    families: dict[tuple[str, ...], dict[int, tuple[int, float]]] = defaultdict(dict)
    for sample, prediction in rows:
        if sample.width is not None:
            families[sample.family][sample.width] = (sample.lut, prediction)
    found = []
    for members in families.values():
        (low, low_p), (high, high_p) = members[min(members)], members[max(members)]
        if high != low:
            found.append(abs((high_p - low_p) / (high - low) - 1))
    return found


def write_report(sources: Sequence[tuple[str, Sequence[dict[str, Any]]]], path: Path) -> None:
    """The tables as Markdown."""
    text = _HEAD
    for source, rows in sources:
        text += _TABLE.format(source) + "".join(_text(row) for row in rows)
    path.write_text(text, encoding="utf-8")


def _text(row: dict[str, Any]) -> str:
    cells = [row["circuit"], str(row["rows"])]
    cells += [_percent(row[f"ours {key}"]) for key in ("median", "p90", "largest")]
    cells.append("-" if row["ours luts"] is None else str(row["ours luts"]))
    cells.append("-" if row["ours sum"] is None else f"{100 * row['ours sum']:+.1f}")
    cells += [_percent(row[key]) for key in ("ours slope", "finn median", "finn p90")]
    return f"| {' | '.join(cells)} |\n"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
