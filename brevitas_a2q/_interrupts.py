"""An exception that a signal raises, raised again until it arrives.

Libraries swallow it (a bare ``except`` where they look for an optional package), and the interpreter drops it where it
strikes a destructor or the callback of a weak reference. Whoever asked for an end would be ignored.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any, Final

__all__ = ["again_soon", "arrived", "interrupts_arrive", "is_under_way", "quiet_where_dropped"]

_SECONDS: Final = 0.25


def is_under_way(kind: type[BaseException], error: BaseException | None = None) -> bool:
    """Whether an exception of this kind is being handled, or another one that was raised while it was.

    Args:
        kind: Of exception.
        error: Where to begin; what is being handled by default.

    Example:
        >>> is_under_way(KeyboardInterrupt)
        False
    """
    error = error or sys.exc_info()[1]
    while error is not None and not isinstance(error, kind):
        error = error.__context__
    return error is not None


def again_soon(handler: Any) -> None:
    """Call a signal's handler once more in a moment, where the system has such a timer."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, _SECONDS)


def arrived() -> None:
    """Call no handler again: the exception is where it was to go."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def quiet_where_dropped(kind: type[BaseException]) -> None:
    """Print no traceback where the interpreter drops such an exception: it comes again."""
    before = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, kind):
            before(dropped)

    sys.unraisablehook = hook


def interrupts_arrive() -> None:
    """From now on, ``KeyboardInterrupt`` of this process comes again until nothing swallows it."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        again_soon(interrupt)
        if signum == signal.SIGINT or not is_under_way(KeyboardInterrupt):
            raise KeyboardInterrupt

    quiet_where_dropped(KeyboardInterrupt)
    signal.signal(signal.SIGINT, interrupt)
