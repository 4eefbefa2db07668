"""Steps of a long command: announced, timed, with a progress bar on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Steps"]


@dataclass
class Steps:
    """Announces numbered steps and keeps how long each took, in ``seconds``."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step; its time is kept under its name when it succeeds."""
        self.console.print(f"[bold]{len(self.seconds) + 1}. {name}[/bold]")
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def say(self, line: str) -> None:
        """One line below the step's name."""
        self.console.print(f"   {line}", markup=False)

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[str], None]]:
        """A progress bar that goes when it is done; the value advances it by one and takes a note to show."""
        columns = (TextColumn("   {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        note = TextColumn("{task.fields[note]}")
        silent = not self.console.is_terminal
        with Progress(*columns, note, console=self.console, transient=True, disable=silent) as progress:
            task = progress.add_task(name, total=total, note="")
            yield lambda note: progress.update(task, advance=1, note=note)
