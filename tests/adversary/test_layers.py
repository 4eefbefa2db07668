"""A fixed slice of ``benchmarks/adversary.py layers``: the ends of a layer's sums against onnxruntime, exactly."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def test_layers_of_every_form_keep_to_their_certificates() -> None:
    from benchmarks.adversary.layers.attack import attack

    verdicts = [attack(seed) for seed in range(150)]
    outcomes = Counter(verdict["outcome"] for verdict in verdicts)
    assert [v for v in verdicts if v["outcome"] in ("VIOLATION", "CRASH")] == []
    assert [v for v in verdicts if v["outcome"] == "refused" and not v["why"]] == []
    assert outcomes["certified"] >= 90
    assert sum(v["tightest"] for v in verdicts) >= 0.8 * outcomes["certified"]  # and no range is wider than it must be
