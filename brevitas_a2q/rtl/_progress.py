"""How a build says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """What shows how far a build is."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """One step of the build."""

    def bar(self, name: str, total: int) -> AbstractContextManager[Callable[[str], None]]:
        """A bar; the value advances it by one."""


class Silent:
    """Says nothing."""

    def step(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def bar(self, name: str, total: int) -> AbstractContextManager[Callable[[str], None]]:
        return nullcontext(lambda note: None)
