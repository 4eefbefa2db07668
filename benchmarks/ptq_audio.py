"""Audio for ``ptq.py``: the pitch of rendered notes, by CREPE's smallest network (Kim et al., arXiv 1802.06182)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from ptq_common import Network, file_of
from torch import Tensor, nn

__all__ = ["pitch"]

_RATE, _FRAME = 16_000, 1024
_BINS, _CENTS_PER_BIN, _FIRST_CENTS = 360, 20.0, 1997.3794084376191  # above 10 Hz
_KERNELS = (512, 64, 64, 64, 64, 64)
_CHANNELS = (1, 128, 16, 16, 16, 32, 64)
_TOLERANCE_CENTS = 50.0


class _Pitch(nn.Module):
    """Six convolutions over a frame of 64 ms, and a score for every 20 cents; parameters as torchcrepe names them."""

    def __init__(self) -> None:
        super().__init__()
        for i, (size, inside, outside) in enumerate(zip(_KERNELS, _CHANNELS, _CHANNELS[1:], strict=False), 1):
            stride = (4, 1) if i == 1 else (1, 1)
            setattr(self, f"conv{i}", nn.Conv2d(inside, outside, (size, 1), stride))
            setattr(self, f"conv{i}_BN", nn.BatchNorm2d(outside, eps=0.001))
        self.classifier = nn.Linear(256, _BINS)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1).unsqueeze(3)
        for i in range(1, 7):
            x = F.pad(x, (0, 0, 254, 254) if i == 1 else (0, 0, 31, 32))
            x = getattr(self, f"conv{i}_BN")(F.relu(getattr(self, f"conv{i}")(x)))
            x = F.max_pool2d(x, (2, 1), (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))


def _notes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Frames of notes with one to ten harmonics in noise, each of mean 0 and deviation 1, and their pitch in cents."""
    rng = np.random.default_rng(seed)
    cents = rng.uniform(_FIRST_CENTS + 600, _FIRST_CENTS + 6000, count)
    frequency = 10 * 2 ** (cents / 1200)
    time = np.arange(_FRAME) / _RATE
    frames = np.zeros((count, _FRAME))
    for harmonic in range(1, 11):
        there = (harmonic <= rng.integers(1, 11, count)) & (harmonic * frequency < _RATE / 2)
        loud = there * rng.uniform(0.3, 1.0, count) / harmonic
        phase = rng.uniform(0, 2 * np.pi, count)
        frames += loud[:, None] * np.sin(2 * np.pi * harmonic * frequency[:, None] * time + phase[:, None])
    frames += rng.uniform(0.005, 0.08, count)[:, None] * rng.normal(size=frames.shape)
    frames -= frames.mean(1, keepdims=True)
    frames /= frames.std(1, keepdims=True)
    return torch.from_numpy(frames).float(), torch.from_numpy(cents)


def pitch() -> Network:
    """CREPE tiny (torchcrepe, 487k parameters) on rendered notes; right within half a semitone of the pitch."""
    model = _Pitch()
    model.load_state_dict(torch.load(file_of("torchcrepe", "assets/tiny.pth"), weights_only=True))
    pool, _ = _notes(600, seed=1)
    test, cents = _notes(2000, seed=2)

    def score(found: Tensor, expected: Tensor) -> float:
        told = _FIRST_CENTS + _CENTS_PER_BIN * found.argmax(1).double()
        return 100 * float(((told - cents).abs() <= _TOLERANCE_CENTS).double().mean())

    return Network(model.eval(), pool, 384, test, score, "pitch accuracy")
