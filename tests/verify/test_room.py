"""A simulation takes memory and time for what it is given, whatever the file's nodes ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from brevitas_a2q import certify, simulate
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.export import check_finn

Build = Callable[..., Any]


def _nearest(b: Any, x: str) -> str:
    return str(b.node("Resize", x, "", b.constant(np.float32([1, 1, 16384, 16384])), mode="nearest"))


def _padding(b: Any, x: str) -> str:
    return str(b.node("Pad", x, b.constant(np.int64([0, 0, 8000, 8000] * 2))))


BOMBS: dict[str, Callable[[Any, str], str]] = {
    "nearest": lambda b, x: b.node("Conv", _nearest(b, x), b.weights(np.ones((1, 1, 1, 1)))),
    "padding": lambda b, x: b.node("Conv", _padding(b, x), b.weights(np.ones((1, 1, 1, 1)))),
    "a convolution's padding": lambda b, x: b.node("Conv", x, b.weights(np.ones((1, 1, 3, 3))), pads=[4000] * 4),
    "zeros between pixels": lambda b, x: b.node(
        "ConvTranspose",
        b.node("Tile", x, b.constant(np.int64([1, 1, 99, 99]))),
        b.weights(np.ones((1, 1, 2, 2))),
        strides=[99] * 2,
    ),
    "products": lambda b, x: b.node(
        "Conv",
        b.node("Tile", x, b.constant(np.int64([1, 1, 1500, 1500]))),
        b.weights(np.ones((1, 1, 120, 120))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_inputs_and_weights_do_not_account_for_is_refused(bomb: str, builder: Build) -> None:
    b = builder(shape=(1, 1, 1, 1))
    path = b.save(BOMBS[bomb](b, b.quant("x")))
    assert len(certify(path).layers) == 1  # of which the ranges are known all the same
    with pytest.raises(OnnxFileError, match="for one sample"):
        simulate(path, np.zeros((1, 1, 1, 1), np.float32))


def test_a_large_image_is_what_it_is_given(builder: Build) -> None:
    b = builder(shape=(1, 1, 512, 512))
    path = b.save(b.node("Conv", b.quant("x"), b.weights(np.ones((64, 1, 3, 3))), pads=[1] * 4))
    assert simulate(path, np.zeros((1, 1, 512, 512), np.float32)).outputs.shape == (1, 64, 512, 512)


def test_check_finn_of_thousands_of_nodes(builder: Build) -> None:
    b = builder(shape=(1, 2, 2, 2))
    x = b.node("Conv", b.quant("x"), b.weights(np.ones((1, 2, 1, 1))))
    for _ in range(4001):
        x = b.node("Relu", x)
    with pytest.raises(OnnxFileError, match="at most 4000"):
        check_finn(b.save(x))
