"""Random numbers that depend on nothing but the run's seed and the place in the run."""

from __future__ import annotations

import random

import numpy as np
import torch

__all__ = ["epoch_seed", "seed_everything"]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def epoch_seed(seed: int, phase: str, epoch: int) -> int:
    """Seed of one epoch's batches, augmentation and dropout.

    Every epoch is seeded by itself, so an interrupted run needs no generator's state to go on as if nothing happened.

    Args:
        seed: Of the run.
        phase: Name of the phase.
        epoch: From 1.

    Example:
        >>> epoch_seed(0, "float", 1) == epoch_seed(0, "float", 2)
        False
    """
    words = np.random.SeedSequence([seed, epoch, *phase.encode()]).generate_state(2, np.uint32)
    return int(words[0]) | int(words[1] & 0x7FFFFFFF) << 32
