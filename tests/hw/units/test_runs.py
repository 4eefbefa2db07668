"""Sequences in runs against the same sequences written out."""

from __future__ import annotations

import numpy as np
import pytest

from brevitas_a2q.hw._units.flow import evenly, paced, raster, repeated, surrounded
from brevitas_a2q.hw._units.runs import Runs, sampled


def written(runs: Runs) -> np.ndarray:
    return runs.at(np.arange(runs.length))


def some(rng: np.random.Generator, length: int, rising: bool = False) -> Runs:
    """A sequence of random runs, many of one number; halves, so that sums are exact."""
    count = int(rng.integers(1, min(9, length) + 1))
    start = np.append(0, np.sort(rng.choice(np.arange(1, length), count - 1, replace=False))) if length > 1 else [0]
    step = rng.integers(0 if rising else -6, 7, len(start)) / 2
    value = rng.integers(-20, 20, len(start)) / 2
    found = Runs.joined(start, value, step, length)
    return found.rising() if rising else found


@pytest.fixture(params=range(60))
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(request.param)


def test_they_are_the_numbers_they_were_made_of(rng: np.random.Generator) -> None:
    length = int(rng.integers(1, 40))
    numbers = np.where(rng.random(length) < 0.3, -np.inf, rng.integers(0, 4, length).cumsum() / 2)
    one_each = Runs.joined(np.arange(length), numbers, 0.0, length)
    np.testing.assert_array_equal(written(one_each), numbers)
    in_runs = some(rng, length)
    again = Runs.joined(np.arange(length), written(in_runs), 0.0, length)
    np.testing.assert_array_equal(written(again), written(in_runs))
    if np.all(np.diff(written(in_runs)) == np.diff(written(in_runs))[:1]):
        assert len(again.start) == 1


def test_sums_and_larger_and_running_maxima(rng: np.random.Generator) -> None:
    length = int(rng.integers(1, 60))
    one, other = some(rng, length), some(rng, length)
    a, b = written(one), written(other)
    np.testing.assert_allclose(written(one + other), a + b)
    np.testing.assert_allclose(written(one - other), a - b)
    np.testing.assert_allclose(written(one.plus(2).scaled(3)), (a + 2) * 3)
    np.testing.assert_allclose(written(one.maximum(other)), np.maximum(a, b))
    np.testing.assert_allclose(written(one.minimum(other)), np.minimum(a, b))
    np.testing.assert_allclose(written(one.maximum(1)), np.maximum(a, 1))
    np.testing.assert_allclose(written(one.rising()), np.maximum.accumulate(a))
    np.testing.assert_allclose(written(one.lowest_to_come()), np.minimum.accumulate(a[::-1])[::-1])
    np.testing.assert_allclose(written(one.reversed()), a[::-1])
    np.testing.assert_allclose(written(one.delayed(7)), np.append(7, a[:-1]))
    np.testing.assert_allclose(written(one.extended(7, length + 3)), np.append(a, [7, 7, 7]))


def test_sums_so_far(rng: np.random.Generator) -> None:
    length = int(rng.integers(1, 60))
    steps = some(rng, length)
    level = Runs.levels(steps.start, steps.value, length)
    np.testing.assert_allclose(written(level.sums()), np.cumsum(written(level)))


def test_one_read_at_the_places_of_another(rng: np.random.Generator) -> None:
    times, length = some(rng, int(rng.integers(1, 30)), rising=True), int(rng.integers(1, 40))
    a = written(times)
    places = np.sort(rng.integers(-1, times.length, length))
    found = times.through(Runs.joined(np.arange(length), places, 0.0, length))
    np.testing.assert_allclose(written(found), np.where(places < 0, -np.inf, a[places]))


def test_between_two_places_no_time_is_too_early_or_where_it_must_be_never_too_late(rng: np.random.Generator) -> None:
    times = some(rng, int(rng.integers(2, 30)), rising=True)
    a, count = written(times), int(rng.integers(2, 5))
    places = Runs.ramp(0, 1 / count, (times.length - 1) * count + 1)
    exact = np.arange(places.length) / count
    assert (written(times.through(places)) >= a[np.floor(exact + 1e-9).astype(int)] - 1e-9).all()
    assert (written(times.through(places, early=True)) <= a[np.ceil(exact - 1e-9).astype(int)] + 1e-9).all()


def test_the_first_index_that_reaches_a_number(rng: np.random.Generator) -> None:
    rising = some(rng, int(rng.integers(1, 40)), rising=True)
    numbers = rng.integers(-30, 80, 20) / 2
    np.testing.assert_array_equal(rising.first(numbers), np.searchsorted(written(rising), numbers))


def test_fewer_runs_are_nowhere_lower_and_near_where_they_were_straight(rng: np.random.Generator) -> None:
    one = some(rng, 200)
    raised = one.raised(3)
    assert len(raised.start) <= max(3, 3 * (len(one.start) <= 3))
    assert (written(raised) >= written(one) - 1e-9).all()
    assert written(raised).max() <= 2 * (np.ptp(written(one)) + 1) + written(one).max()


def test_samples_are_all_of_few_numbers_and_the_ends_of_every_stretch_of_many() -> None:
    one, other = Runs.joined([0, 5], [0, 9], [1, 0], 12), Runs.joined([0, 8], [0, 0], [1, 1], 12)
    assert sampled(one, other).tolist() == list(range(12))
    start = np.arange(3000) * 50
    many = Runs.levels(start, np.arange(3000) % 7, 150_000)
    found = sampled(many)
    assert len(found) <= 5 * len(start)
    assert set(found) >= {*start, *(start + 1), *(start + 48), *(start + 49)}


@pytest.mark.parametrize(("outputs", "inputs"), [(12, 12), (4, 12), (1, 9), (6, 9)])
def test_every_output_takes_as_many_inputs(outputs: int, inputs: int) -> None:
    exact = -(-(np.arange(outputs) + 1) * inputs // outputs) - 1
    found = written(evenly(outputs, inputs))
    assert (found >= exact - 1e-9).all()
    assert found[-1] == inputs - 1
    if inputs % outputs == 0:
        np.testing.assert_allclose(found, exact)


@pytest.mark.parametrize("most", [1 << 20, 2])
def test_windows_copies_and_zeros_by_the_row(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brevitas_a2q.hw._units.flow._MOST_RUNS", most)
    exact = most > 2

    def same(found: Runs, expected: np.ndarray) -> None:
        numbers = written(found)
        assert len(numbers) == expected.size
        if exact:
            np.testing.assert_allclose(numbers, expected.reshape(-1))
        else:
            assert (numbers >= expected.reshape(-1) - 1e-9).all()
            assert (numbers <= expected.max() + 1e-9).all()

    rows, columns = np.minimum(np.arange(4) * 2 + 2, 7), np.minimum(np.arange(5) * 2 + 2, 9)
    same(raster(Runs.ramp(2, 2, 4).minimum(7), Runs.ramp(2, 2, 5).minimum(9), 10), rows[:, None] * 10 + columns)
    inside = np.zeros((1 + 4 + 2, 3 + 5 + 0), int)
    inside[1:5, 3:] = 1
    same(surrounded((4, 5), (1, 3, 2, 0)), np.cumsum(inside) - 1)
    paces = written(paced((3, 4), 1, 5, 9))
    assert paces.sum() == pytest.approx(9 * 1 + 2 * 5 + 9)
    if exact:
        assert paces.tolist() == [9, 1, 1, 1, 5, 1, 1, 1, 5, 1, 1, 1]
        copies = np.maximum.accumulate((np.arange(6)[:, None] // 2 * 4 + np.arange(8) // 2).reshape(-1))
        found = written(raster(repeated(3, 2, 6), repeated(4, 2, 8), 4))
        assert ((copies <= found + 1e-9) & (found < copies + 1)).all()
