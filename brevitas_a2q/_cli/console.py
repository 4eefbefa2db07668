"""Where output goes: tables and JSON to standard output, progress and messages to standard error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from brevitas_a2q._cli.fitting import print_fitted
from brevitas_a2q._terminal import visible

__all__ = ["emit_json", "messages", "say", "show"]


def messages() -> Console:
    """The console for progress and messages (standard error)."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def show(table: Table, keep: Sequence[str] = ()) -> None:
    """Print a table on standard output, made to fit a terminal; in a file or pipe, rows are not cut.

    Args:
        table: Its first column has the names.
        keep: Headings of the columns that matter most, the most important first; others give way first.
    """
    print_fitted(table, _console(), keep)


def say(line: str) -> None:
    """Print one sentence on standard output; names in it neither style it nor drive the terminal, nor are they cut."""
    _console().print(visible(line), markup=False, soft_wrap=True)


def _console() -> Console:
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
