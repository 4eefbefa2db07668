"""The two ends of a graph: the image that is read, and what is before the first unit and behind the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import Mvau

Build = Callable[..., Any]


def test_a_pool_reads_its_image_channels_first_whatever_comes_behind(builder: Build) -> None:
    """A mean of the image that keeps no axes of it, right behind the input, and then a product of matrices."""
    b = builder((1, 3, 4, 4))
    mean = b.node("ReduceMean", b.quant("x"), axes=[2, 3], keepdims=0)
    b.node("MatMul", b.quant(mean), b.weights(np.ones((3, 2))))
    image = read_graph(b.save()).input
    assert (image.channels, image.pixels) == (3, 16)


def test_what_follows_the_last_unit_is_noted(builder: Build) -> None:
    b = builder(shape=(1, 4))
    x = b.node("MatMul", b.quant("x"), b.weights(np.ones((4, 3)), np.float32([[0.1, 0.2, 0.3]])))
    b.node("Softmax", b.node("Add", x, b.constant(np.float32([0.5, 0.1, 0.2]))))
    graph = read_graph(b.save())
    assert [type(unit) for unit in graph.units] == [Mvau]
    assert len(graph.notes) == 1
    assert "left to software" in graph.notes[0]
    assert "Softmax" in graph.notes[0]


def test_what_precedes_the_first_quantizer_is_noted(builder: Build) -> None:
    b = builder(shape=(1, 1, 2, 2))
    x = b.node("Div", b.node("Flatten", "x"), b.constant(np.float32(255)))
    b.node("MatMul", b.quant(x), b.weights(np.ones((4, 3))))
    graph = read_graph(b.save())
    assert [type(unit) for unit in graph.units] == [Mvau]
    assert graph.notes == ("input: left to software: n0", "input: left to software: n1")
