"""Where output goes: tables and JSON to standard output, progress and messages to standard error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console

__all__ = ["emit_json", "messages", "tables"]


def messages() -> Console:
    """The console for progress and messages (standard error)."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def tables() -> Console:
    """The console for tables (standard output); in a file or pipe, rows are not cut to a terminal's width."""
    console = _Output(highlight=False)
    return console if console.is_terminal else _Output(highlight=False, width=200)


class _Output(Console):
    """Standard output; that nobody reads it any more is for the command line to end with, not for rich."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def emit_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    try:
        click.echo(json.dumps(value, indent=2, allow_nan=False))
    except BrokenPipeError:
        raise BrokenPipeError from None  # without its number, by which click would take it for its own to handle
