"""Calibration data as people have them: data sets, alone and in the pairs that training runs take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

from brevitas_a2q.ptq._calibration import Calibration
from brevitas_a2q.ptq._sources import calibration_data

CODE = """
import torch
from torch.utils.data import TensorDataset

def pair():
    train, test = (TensorDataset(torch.full((30, 3), float(n)).cumsum(0), torch.arange(30)) for n in (1, 9))
    return train, test
"""


def test_a_data_set_holds_samples_and_labels_are_left_out() -> None:
    data = TensorDataset(torch.randn(200, 3), torch.arange(200))
    found = Calibration.of(data, held_out=0.25, batch_size=64)
    known, kept = (torch.cat([args[0] for args, _ in part]) for part in (found.known, found.held_out))
    assert torch.equal(torch.cat([known, kept]), data.tensors[0])
    assert len(kept) == 50


def test_of_a_pair_the_training_set_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pair_of_sets.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    loader = calibration_data("pair_of_sets:pair", None, 12, seed=0)
    samples = torch.cat([batch[0] for batch in loader])
    assert samples.shape == (12, 3)
    assert samples.max() <= 30
    assert len(samples[:, 0].unique()) == 12


def test_batches_without_samples_are_left_out_and_sparse_ones_are_read() -> None:
    x = torch.eye(10)
    found = Calibration.of([x[:0], x[:5], x[5:].to_sparse()], held_out=0.2, batch_size=64)
    assert torch.equal(torch.cat([args[0] for args, _ in (*found.known, *found.held_out)]), x)
