"""What pip installs is enough: no simulator, compiler or make on the path."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphs import OPTIONS

from brevitas_a2q.rtl._build import build


@pytest.mark.slow
def test_a_build_simulates_and_drives_witnesses_with_an_empty_path(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyosys")
    pytest.importorskip("ziglang")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    report = build(network, tmp_path / "out", simulate=2, gap=100, stall=100, **OPTIONS)
    assert report.simulation is not None
    assert report.simulation.simulator == "cxxrtl"
    assert report.simulation.equal
    assert report.stalled is not None
    assert report.stalled.equal
