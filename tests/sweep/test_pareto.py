"""The front by its definition."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from brevitas_a2q.sweep._pareto import pareto_front

Point = tuple[int, int, int]
POINTS = st.lists(st.tuples(*[st.integers(0, 6)] * 3), max_size=30)
WAYS = ("maximize", "minimize", "maximize")


def beats(first: Point, second: Point) -> bool:
    better = [first[0] - second[0], second[1] - first[1], first[2] - second[2]]
    return min(better) >= 0 and max(better) > 0


def front_of(points: Sequence[Point]) -> set[int]:
    return set(pareto_front(points, WAYS))


@given(POINTS)
def test_the_front_is_what_no_point_beats(points: list[Point]) -> None:
    expected = {place for place, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert front_of(points) == expected


@given(POINTS, st.randoms())
def test_the_order_of_the_points_does_not_matter(points: list[Point], random: object) -> None:
    shuffled = points[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    chosen = sorted(points[place] for place in front_of(points))
    assert chosen == sorted(shuffled[place] for place in front_of(shuffled))


@given(POINTS)
def test_the_first_coordinate_gets_worse_along_the_front(points: list[Point]) -> None:
    first = [points[place][0] for place in pareto_front(points, WAYS)]
    assert first == sorted(first, reverse=True)
