"""A fixed slice of ``benchmarks/adversary.py models``, and what longer runs of it have found, by name."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


def attack(seed: int, **options: Any) -> list[dict[str, Any]]:
    from benchmarks.adversary.models.attack import attack

    return attack(seed, **options)


@pytest.mark.filterwarnings("ignore")
def test_no_model_leaves_its_certificate_or_its_accumulators() -> None:
    verdicts = [verdict for seed in range(8) for verdict in attack(seed, rounds=2, models=3)]
    outcomes = Counter(verdict["outcome"] for verdict in verdicts)
    assert [v["detail"] for v in verdicts if v["outcome"] in ("VIOLATION", "CRASH")] == []
    assert outcomes["certified"] >= 8
