"""Files of one JSON object a line, which a run that was stopped goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["read_lines"]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Verdicts of earlier runs; a last line that was cut off is cut away, so that the next one begins a line."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]
