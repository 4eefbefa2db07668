"""Bars of work that takes long."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console
from torch import nn

from brevitas_a2q import A2QConfig, constrain_
from brevitas_a2q._terminal import progress
from brevitas_a2q.convert import _constrain


def shown(after: float, terminal: bool) -> str:
    written = io.StringIO()
    with progress("pieces", 3, after, Console(file=written, force_terminal=terminal, width=60)) as step:
        for _ in range(3):
            step()
    return written.getvalue()


def test_a_bar_where_somebody_watches_and_it_takes_long() -> None:
    assert "pieces" in shown(0, True)
    assert not shown(100, True)
    assert not shown(0, False)


def test_scales_of_weights_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=60)
    monkeypatch.setattr(_constrain, "progress", lambda what, total: progress(what, total, 0, console))
    model = nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(4, 4), nn.ReLU())))
    constrain_(model, A2QConfig(accumulator_bit_width=14), torch.rand(8, 4))
    assert "scales of weights" in written.getvalue()
