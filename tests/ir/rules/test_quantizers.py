"""A MultiThreshold whose output has a scale and a bias: integers, where the one is a multiple of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from brevitas_a2q import _ir as ir
from brevitas_a2q.errors import OnnxFileError

Build = Callable[..., Any]


@pytest.mark.parametrize(
    ("scale", "bias", "dtype", "integers"),
    [
        (2.0, -1.0, "BIPOLAR", (-1, 1)),
        (0.5, -0.25, "BIPOLAR", (-1, 1)),
        (1.0, -2.0, "INT2", (-2, -1)),
        (0.1, -0.2, "INT2", (-2, -1)),  # 2 * float32(0.1) is float32(0.2)
    ],
)
def test_a_bias_of_thresholds_that_is_a_multiple_of_their_scale(
    builder: Build, scale: float, bias: float, dtype: str, integers: tuple[int, int]
) -> None:
    b = builder()
    steps = b.constant(np.float32([[1]]))
    out = b.node(
        "MultiThreshold", b.quant("x"), steps, domain="qonnx.custom_op.general",
        out_scale=scale, out_bias=bias, out_dtype=dtype,
    )  # fmt: skip
    b.node("Conv", out, b.weights(np.ones((3, 2, 1, 1))))
    network = ir.read(b.save())
    codes = network.tensors[out].codes
    assert codes is not None
    assert (codes.range.lo, codes.range.hi) == integers
    step = float(codes.scale)
    assert [step * integers[0], step * integers[1]] == [np.float32(bias), np.float32(scale) + np.float32(bias)]


@pytest.mark.parametrize(("scale", "bias"), [(0.1, -0.3), (1.0, -0.5), (0.5, 0.3)])
def test_a_bias_of_thresholds_that_is_no_multiple_is_named(builder: Build, scale: float, bias: float) -> None:
    b = builder()
    steps = b.constant(np.float32([[1, 2, 3]]))
    out = b.node(
        "MultiThreshold", b.quant("x"), steps, domain="qonnx.custom_op.general",
        out_scale=scale, out_bias=bias, out_dtype="INT4",
    )  # fmt: skip
    b.node("Conv", out, b.weights(np.ones((3, 2, 1, 1))))
    with pytest.raises(OnnxFileError, match=r"output bias of .*no multiple of its output scale"):
        ir.read(b.save())
