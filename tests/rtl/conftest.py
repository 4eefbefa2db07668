"""Graphs and a folded design of each, and which simulators are here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "hw"))

from brevitas_a2q.errors import RtlError
from brevitas_a2q.rtl._simulators import Simulator, find_simulator


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    """The simulator that has least to compile for a small graph."""
    for name in ("icarus", "cxxrtl", "verilator"):
        try:
            return find_simulator(name)
        except RtlError:
            continue
    pytest.skip("no simulator is installed")
