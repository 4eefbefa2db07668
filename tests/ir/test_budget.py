"""A small file cannot ask for much memory or time, whatever its nodes say."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from brevitas_a2q import _ir as ir
from brevitas_a2q._ir import budget
from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q.errors import OnnxFileError

Build = Callable[..., Any]


@contextmanager
def bounded(mebibytes: int, seconds: float) -> Iterator[None]:
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < mebibytes << 20
    assert time.process_time() - start < seconds


def test_doubled_constants_are_refused(builder: Build) -> None:
    b = builder()
    one = numpy_helper.from_array(np.float32([1]))
    constant = b.node("ConstantOfShape", b.constant(np.int64([1 << 16, 1])), value=one)
    for _ in range(20):
        constant = b.node("Concat", constant, constant, axis=0)
    b.node("Conv", b.quant("x"), constant)
    with bounded(400, 20), pytest.raises(OnnxFileError):
        ir.read(b.save())


def test_ranges_of_many_elements_are_joined_where_there_are_many_of_them(builder: Build) -> None:
    b = builder(shape=(1, 1, 1024, 1024))
    moved = b.node("Add", b.quant("x"), b.constant((np.arange(1024) * 0.3).astype(np.float32).reshape(1024, 1)))
    moved = b.node("Mul", moved, b.constant((1 + np.arange(1024) * 0.01).astype(np.float32).reshape(1, 1024)))
    for _ in range(40):
        moved = b.node("LeakyRelu", moved, alpha=0.5)
    b.node("Conv", b.quant(moved), b.weights(np.ones((1, 1, 1, 1))))
    with bounded(600, 40):
        (layer,) = dot_product_layers(ir.read(b.save()))
    assert int(layer.x_hi.max()) == 15


def test_one_constant_read_very_often_is_refused(builder: Build) -> None:
    b = builder(shape=(1, 64))
    weights = b.weights(np.ones((64, 64)))
    x, parts = b.quant("x"), []
    for _ in range(200):
        parts.append(b.node("MatMul", x, weights))
    b.node("Concat", *parts, axis=1)
    with bounded(300, 20):
        assert len(dot_product_layers(ir.read(b.save()))) == 200


def test_one_constant_read_too_often_is_refused(builder: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_BASE", 1 << 16)
    monkeypatch.setattr(budget, "_WORK", 2)
    b = builder(shape=(1, 64))
    weights, x = b.weights(np.ones((64, 256))), b.quant("x")
    parts = [b.node("MatMul", x, weights) for _ in range(60)]
    b.node("Concat", *parts, axis=1)
    with bounded(300, 20), pytest.raises(OnnxFileError, match="more constants"):
        ir.read(b.save())


def test_long_axes_are_not_spread_out(builder: Build) -> None:
    b = builder(shape=(1, 1, 1, 1 << 26))
    flipped = b.node("Slice", b.quant("x"), *(b.constant(np.int64([v])) for v in (-1, -(1 << 40), 3, -1)))
    padded = b.node("Pad", flipped, b.constant(np.int64([0, 0, 0, 5, 0, 0, 0, 5])), mode="edge")
    pooled = b.node("MaxPool", padded, kernel_shape=[1, 1 << 19], strides=[1, 1 << 19], pads=[0, 9, 0, 9])
    b.node("Conv", b.quant(pooled), b.weights(np.ones((1, 1, 1, 1))))
    with bounded(300, 20):
        (layer,) = dot_product_layers(ir.read(b.save()))
    assert int(layer.x_hi.max()) == 15


def test_thresholds_that_many_nodes_read_are_held_once(builder: Build) -> None:
    b = builder(shape=(1, 1, 2, 2))
    steps = b.constant(np.sort(np.random.default_rng(0).normal(size=(1, 20_000)).astype(np.float32), axis=1))
    x = b.quant("x")
    for _ in range(200):
        x = b.node("MultiThreshold", x, steps, domain="qonnx.custom_op.general", out_dtype="UINT16")
    b.node("Conv", x, b.weights(np.ones((1, 1, 1, 1))))
    with bounded(10, 20):
        dot_product_layers(ir.read(b.save()))


def test_ranges_leave_constants_their_own_room(builder: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_BASE", 1 << 12)
    b = builder(shape=(1, 1, 64, 64))
    moved = b.quant("x")
    for axis in ((64, 1), (1, 64)) * 3:
        moved = b.node("Add", moved, b.constant((np.arange(64) * 0.3).astype(np.float32).reshape(axis)))
    b.node("Conv", b.quant(moved), b.weights(np.ones((1, 1, 1, 1))))
    (layer,) = dot_product_layers(ir.read(b.save()))
    assert int(layer.x_hi.max()) == 15
