"""Samples to judge by, as functions of one's own return them."""

from __future__ import annotations

from pathlib import Path

import pytest

from brevitas_a2q.ptq._labelled import labelled_data

MODULE = """
import torch
from torch.utils.data import TensorDataset

def load():
    return tuple(TensorDataset(torch.rand(n, 1, 4, 4), torch.arange(n)) for n in (5, 3))

def pair():
    return torch.rand(4, 2), torch.arange(4)
"""


def test_what_training_runs_take_is_judged_by_its_second_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labelled_by_me.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    learn, judge = (labelled_data("labelled_by_me:load", None, part) for part in (0, 1))
    assert (len(learn), len(judge), len(labelled_data("labelled_by_me:load", None))) == (5, 3, 3)
    assert judge.labels is not None
    assert judge.labels.tolist() == [0, 1, 2]
    assert len(labelled_data("labelled_by_me:pair", None)) == 4
