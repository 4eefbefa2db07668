"""What a layer says of the width of its output."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat

from brevitas_a2q import Int8ProjectedA2QWeightPerChannelFloat
from brevitas_a2q.quant._output_width import watch_output


def layer(kind: Any = qnn.QuantLinear, *sizes: int, **options: Any) -> Any:
    known = {
        "weight_quant": Int8ProjectedA2QWeightPerChannelFloat,
        "weight_accumulator_bit_width": 14,
        "input_quant": Int8ActPerTensorFloat,
        "return_quant_tensor": True,
        "bias": False,
    }
    return kind(*(sizes or (64, 3)), **{**known, **options})


def width(made: Any, *shape: int) -> int:
    return int(made(torch.randn(shape)).bit_width)


def test_no_wider_than_the_accumulator() -> None:
    made = layer()
    assert width(made, 2, 64) == 14
    watch_output(made, False)
    assert width(made, 2, 64) > 14
    watch_output(made, True)
    watch_output(made, True)  # one hook, however often it is asked for
    assert len(made._forward_hooks) == 1


def test_as_narrow_as_its_data_types_make_it() -> None:
    assert width(layer(qnn.QuantLinear, 4, 3, weight_accumulator_bit_width=32), 2, 4) < 32


def test_transposed_convolutions_say_what_their_accumulator_holds() -> None:
    """Brevitas adds the sides of the kernel where it should multiply them."""
    made = layer(qnn.QuantConvTranspose2d, 4, 3, 3, weight_accumulator_bit_width=20)
    assert width(made, 1, 4, 5, 5) == 20


@pytest.mark.parametrize("options", [{"weight_accumulator_tile": 16}, {"output_quant": Int8ActPerTensorFloat}])
def test_tiles_and_outputs_that_are_quantized_again_are_left_as_they_are(options: dict[str, Any]) -> None:
    made = layer(**options)
    found = width(made, 2, 64)
    watch_output(made, False)
    assert found == width(made, 2, 64)
