"""What reaches a terminal: text of others, which must neither style nor drive it, and bars of work that takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

__all__ = ["marked", "progress", "visible"]


def visible(text: str) -> str:
    r"""The text with every character that a terminal might obey written out.

    Example:
        >>> visible("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def marked(text: str) -> str:
    r"""The text for rich, which then shows it as it is.

    Example:
        >>> marked("[red]x[/red]")
        '\\[red]x\\[/red]'
    """
    return escape(visible(text))


@contextmanager
def progress(what: str, total: int, after: float = 2.0, console: Console | None = None) -> Iterator[Callable[[], None]]:
    """A bar of work in steps, on the error stream of a terminal or below a notebook's cell; gone when the work is done.

    Args:
        what: What is done.
        total: How many steps it has.
        after: Seconds until the bar appears: what is quick needs none.
        console: Where it appears.

    Yields:
        To be called after every step.
    """
    console = console or Console(stderr=True)
    started, done = time.monotonic(), 0
    bar: Any = None
    with ExitStack() as stack:

        def step() -> None:
            nonlocal done, bar
            done += 1
            if bar is None and done < total and time.monotonic() - started >= after:
                from rich.progress import Progress

                bar = stack.enter_context(Progress(console=console, transient=True))
                bar.add_task(what, total=total)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)

        def silent() -> None:
            """Nobody watches."""

        yield step if console.is_terminal or console.is_jupyter else silent
