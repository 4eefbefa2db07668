"""Settings of quantization without training: a value of another type or out of its range is named."""

from __future__ import annotations

from typing import Any

import pytest

from brevitas_a2q import LayerRule, PostTrainingConfig
from brevitas_a2q.errors import ConfigError

WRONG: dict[str, list[Any]] = {
    "accumulator_bit_width": ["x", 1, 12.5, True, None],
    "tolerance": [-1, 0, 101, "a", float("nan"), None, True],
    "method": ["gptq", None, 3],
    "weight_bit_width": [0, 1, 99, "4"],
    "activation_bit_widths": [(), 8, ("4",), (0,), None, (True,), (17,), "48"],
    "shared_bit_width": [0, 17, "8", None],
    "boundary_bit_width": [1, 17, "8", None],
    "tile": [0, -3, "a"],
    "scale": ["row", None],
    "shrinkages": [(), (1.0,), 0.2, ("a",), (float("nan"),), None],
    "rows": [1, "a", 1500.0, None],
    "batch_size": [0, 2.5, "a", None],
    "held_out": [0, 1, "x", None],
    "seed": [-1, 1.5, "a", 1 << 70, None],
    "rules": [
        ("a",),
        5,
        None,
        LayerRule("*", skip=True),
        (LayerRule("*", method="a2q"),),
        [{"pattern": "*", "tiles": 3}],
    ],
    "per_layer": ["x", None, 1],
    "zero_point": ["no", None],
    "equalize": [3, None],
    "skip_first_and_last": ["yes", None],
    "power_of_two": [None, 1],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_named(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(ConfigError, match=f"found (accumulator_)?{name} = .*; expected |rule 1: .*tiles"):
            PostTrainingConfig.from_dict({name: value})


def test_every_setting_is_checked_and_comes_back() -> None:
    config = PostTrainingConfig(rules=[LayerRule("a", skip=True)], activation_bit_widths=[4, 8])  # type: ignore[arg-type]
    assert set(config.to_dict()) == WRONG.keys()
    assert config.activation_bit_widths == (4, 8)
    assert PostTrainingConfig.from_dict(config.to_dict()) == config
    assert config.of_layer("a") == {"pattern": "a", "skip": True}
