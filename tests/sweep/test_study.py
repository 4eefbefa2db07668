"""Processes that start the same sweep at the same time: one set of tables, one study, no run given to two."""

from __future__ import annotations

import multiprocessing

import pytest
from racer import race


@pytest.mark.parametrize("address", ["sqlite", "journal", "postgresql"], indirect=True)
def test_processes_that_start_the_same_sweep_at_once(address: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    racers = [context.Process(target=race, args=(address, barrier, results)) for _ in range(3)]
    for racer in racers:
        racer.start()
    runs = [results.get(timeout=100) for _ in racers]
    for racer in racers:
        racer.join()
    assert len(set(runs)) == 3
    assert None not in runs
