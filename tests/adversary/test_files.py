"""A fixed slice of ``benchmarks/adversary.py files``, and what longer runs of it have found, by name."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


def attack(seed: int, **options: Any) -> dict[str, Any]:
    from benchmarks.adversary.files.attack import attack

    return attack(seed, **options)


@pytest.mark.filterwarnings("ignore")
def test_no_execution_leaves_its_certificate() -> None:
    verdicts = [attack(seed, node_by_node=seed == 3) for seed in range(60)]
    outcomes = Counter(verdict["outcome"] for verdict in verdicts)
    assert [v["detail"] for v in verdicts if v["outcome"] in ("VIOLATION", "CRASH")] == []
    assert outcomes["certified"] > 40
    assert outcomes["refused"] <= 2  # of what can be executed
    assert sum(verdict["covered"] for verdict in verdicts) > 50
    reached = [verdict["tightest"] for verdict in verdicts if verdict["outcome"] == "certified"]
    assert sum(share >= 1 for share in reached) > len(reached) / 3  # the ends are not just far away


# Where's result is of the type of what it chooses, not of its condition.
# A negative scale leaves open which sign the integers have.
FOUND = {"the element type of Where": 3, "the sign of integers behind Neg": 1721, "differences of streams": 1172}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(name: str) -> None:
    verdict = attack(FOUND[name], node_by_node=False)
    assert verdict["outcome"] == "certified", verdict["detail"]
