"""Which layer a model computes first, and which last; the order in which they are defined may be another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["first_and_last"]


def first_and_last(names: Sequence[str], calls: Sequence[str]) -> frozenset[str]:
    """Names of the first and the last layer.

    Args:
        names: Of the layers, as they are defined.
        calls: Names of the modules that the model calls, in its order; layers inside of one that is called are taken as
            defined. Where it calls none of the layers, or that is not known, the first and last that are defined.
    """

    def called(order: Iterable[str]) -> list[str]:
        found = ([name for name in names if f"{name}.".startswith(f"{call}.")] for call in order)
        return next(filter(None, found), list(names))

    return frozenset((called(calls)[0], called(reversed(calls))[-1]))
