"""The difference of two estimates, layer by layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from brevitas_a2q.errors import A2QError

__all__ = ["Difference", "LayerChange", "difference", "read_estimate"]

_QUANTITIES: Final = ("lut", "bram18", "uram", "dsp", "cycles", "accumulator_bit_width")
_TOTALS: Final = ("lut", "bram18", "uram", "dsp")
_SPEEDS: Final = ("fps", "max_cycles", "latency_cycles")


@dataclass(frozen=True)
class LayerChange:
    """What one layer has before and after; None where it is absent, or its kind has no such quantity."""

    name: str
    op: str
    before: Mapping[str, int | None] | None
    after: Mapping[str, int | None] | None

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return self.before != self.after


@dataclass(frozen=True)
class Difference:
    """Two estimates side by side; ratios are after / before, None where before is 0."""

    layers: tuple[LayerChange, ...]
    before: Mapping[str, float]  # totals and speed
    after: Mapping[str, float]

    @property
    def ratios(self) -> dict[str, float | None]:
        """Of every total and speed."""
        return {name: self.after[name] / value if value else None for name, value in self.before.items()}

    def to_json(self) -> dict[str, Any]:
        """The JSON object of ``brevitas-a2q compare --json``."""
        layers = [{"name": c.name, "op": c.op, "before": c.before, "after": c.after} for c in self.layers if c.changed]
        return {"layers": layers, "before": self.before, "after": self.after, "ratio": self.ratios}


def read_estimate(path: Path) -> dict[str, Any]:
    """The JSON object that ``estimate --json`` or ``fold --json`` printed.

    Raises:
        A2QError: If the file holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise A2QError("found a file that is not JSON", where=str(path), expected="an estimate as JSON") from error
    if not isinstance(found, dict):
        raise A2QError("found no JSON object", where=str(path), expected="an estimate as JSON")
    missing = [key for key in ("layers", "total", *_SPEEDS) if key not in found]
    if missing:
        raise A2QError(f"found no {', '.join(missing)}", where=str(path), expected="an estimate as JSON")
    return found


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Compare two estimates.

    Args:
        before: The JSON object of an estimate.
        after: The JSON object of another one; layers are matched by name.
    """
    first, second = ({row["name"]: row for row in estimate["layers"]} for estimate in (before, after))
    names = dict.fromkeys([*first, *second])
    return Difference(
        layers=tuple(_change(name, first.get(name), second.get(name)) for name in names),
        before=_summary(before),
        after=_summary(after),
    )


def _change(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> LayerChange:
    rows = [None if row is None else {q: row.get(q) for q in _QUANTITIES} for row in (before, after)]
    op = (after or before or {}).get("op", "")
    return LayerChange(name, op, *rows)


def _summary(estimate: Mapping[str, Any]) -> dict[str, float]:
    return {**{name: estimate["total"][name] for name in _TOTALS}, **{name: estimate[name] for name in _SPEEDS}}
