"""A run short enough to be trained many times."""

from __future__ import annotations

from typing import Any

import pytest

from brevitas_a2q.train._config import RunConfig

_SHORT: dict[str, Any] = {
    "data_options": {"validation": 1150},  # which leaves 197 images to train on
    "quant": {"method": "a2q", "accumulator_bit_width": 14},
    "float_recipe": {"base": "one-cycle", "epochs": 2},
    "recipe": {"base": "one-cycle", "epochs": 3, "learning_rate": 1e-3},
    "start": {"calibrate_images": 64, "bias_correction_images": 64},
}


@pytest.fixture(scope="session")
def short() -> RunConfig:
    """Two float and three quantized epochs on a few digits."""
    return RunConfig.from_dict(_SHORT)
