"""Names that a file does not use, for what the reader adds to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

__all__ = ["FreshNames"]


class FreshNames:
    """Gives out names, none of them twice.

    Args:
        taken: Names that are in use.

    Example:
        >>> fresh = FreshNames({"y/sum"})
        >>> fresh("y/sum"), fresh("y/sum"), fresh("z/sum")
        ('y/sum_1', 'y/sum_2', 'z/sum')
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._tried: defaultdict[str, int] = defaultdict(int)

    def __call__(self, wanted: str) -> str:
        """The wanted name, or it with a number behind."""
        name = wanted
        while name in self._taken:
            self._tried[wanted] += 1
            name = f"{wanted}_{self._tried[wanted]}"
        self._taken.add(name)
        return name
