"""The points that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = ["pareto_front"]


def pareto_front(
    points: Sequence[Sequence[float]], directions: Sequence[Literal["maximize", "minimize"]]
) -> tuple[int, ...]:
    """Places of the points that no other point beats, in the order of the first coordinate, the best first.

    A point beats another one if it is at least as good in every coordinate and better in one; so equal points are all
    on the front or none is.

    Args:
        points: Finite numbers, as many in each point as there are directions.
        directions: Which way is better in each coordinate.

    Example:
        >>> pareto_front([(0.9, 16), (0.8, 12), (0.85, 16)], ("maximize", "minimize"))
        (0, 1)
    """
    signs = [-1 if direction == "maximize" else 1 for direction in directions]
    costs = [tuple(sign * value for sign, value in zip(signs, point, strict=True)) for point in points]
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: costs[place]):  # whoever beats a point comes before it
        if not any(_beats(costs[other], costs[place]) for other in front):
            front.append(place)
    return tuple(front)


def _beats(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))
