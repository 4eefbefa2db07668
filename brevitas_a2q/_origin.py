"""What made a page: the command line, and every option with its value."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

__all__ = ["ORIGIN", "Origin"]


@dataclass(frozen=True)
class Origin:
    """The command as it would be typed, and its settings by option."""

    command: str
    settings: Mapping[str, str]


ORIGIN: Final[ContextVar[Origin | None]] = ContextVar("origin", default=None)  # set by the command line
