"""Every operation of the table against PyTorch in float32, on tensors at the ends of their values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from concrete import check, codes, reals

from brevitas_a2q._ranges import Codes, IntType, Value, Window, table

SHAPE = (2, 4, 6, 6)


def const(array):
    return Value.constant(np.asarray(array))


SLOPE = np.float32([[[0.5]], [[-0.3]], [[0.0]], [[2.0]]])
COLUMN = np.float32([[[0.1]], [[-3.0]], [[0.0]], [[7.7]]])
CASES = {
    "permute": (lambda v: table.permute(v, (0, 2, 3, 1)), lambda t: t.permute(0, 2, 3, 1)),
    "permute all": (lambda v: table.permute(v, (3, 1, 0, 2)), lambda t: t.permute(3, 1, 0, 2)),
    "flatten": (lambda v: table.reshape(v, (2, 144)), lambda t: t.flatten(1)),
    "split": (lambda v: table.reshape(v, (2, 2, 2, 36)), lambda t: t.reshape(2, 2, 2, 36)),
    "merge": (lambda v: table.reshape(v, (8, 3, 12)), lambda t: t.reshape(8, 3, 12)),
    "slice": (lambda v: table.take(v, 1, range(1, 4, 2)), lambda t: t[:, 1:4:2]),
    "flip": (lambda v: table.take(v, -1, range(5, -1, -1)), lambda t: t.flip(3)),
    "gather": (lambda v: table.take(v, 1, [3, 0, 0]), lambda t: t[:, [3, 0, 0]]),
    "take any": (lambda v: table.take_any(v, 1, 2), lambda t: t[:, [3, 1]]),
    "expand": (lambda v: table.expand(v, (3, *SHAPE)), lambda t: t.expand(3, *SHAPE)),
    "tile": (lambda v: table.tile(v, (1, 2, 1, 3)), lambda t: t.repeat(1, 2, 1, 3)),
    "pad channels": (lambda v: table.pad(v, [(0, 0), (1, 2), (0, 0), (0, 0)]), lambda t: F.pad(t, (0, 0, 0, 0, 1, 2))),
    "pad image": (lambda v: table.pad(v, [(0, 0), (0, 0), (1, 0), (2, 3)]), lambda t: F.pad(t, (2, 3, 1, 0))),
    "pad by 1": (
        lambda v: table.pad(v, [(0, 0), (0, 0), (1, 1), (1, 1)], 1.0),
        lambda t: F.pad(t, (1, 1, 1, 1), value=1.0),
    ),
    "pad by -2.3": (
        lambda v: table.pad(v, [(0, 0), (1, 0), (0, 0), (0, 0)], -2.3),
        lambda t: F.pad(t, (0, 0, 0, 0, 1, 0), value=-2.3),
    ),
    "crop": (lambda v: table.pad(v, [(0, 0), (0, 0), (-1, 2), (0, -2)]), lambda t: F.pad(t, (0, -2, -1, 2))),
    "reflect": (
        lambda v: table.pad(v, [(0, 0), (0, 0), (2, 3), (1, 0)], mode="reflect"),
        lambda t: F.pad(t, (1, 0, 2, 3), "reflect"),
    ),
    "edge": (
        lambda v: table.pad(v, [(0, 0), (0, 0), (2, 3), (1, 0)], mode="edge"),
        lambda t: F.pad(t, (1, 0, 2, 3), "replicate"),
    ),
    "wrap": (
        lambda v: table.pad(v, [(0, 0), (0, 0), (2, 3), (1, 0)], mode="wrap"),
        lambda t: F.pad(t, (1, 0, 2, 3), "circular"),
    ),
    "pixel shuffle": (lambda v: table.pixel_shuffle(v, 2), lambda t: F.pixel_shuffle(t, 2)),
    "pixel unshuffle": (lambda v: table.pixel_unshuffle(v, 3), lambda t: F.pixel_unshuffle(t, 3)),
    "nearest": (
        lambda v: table.resize(v, [None, None, [0, 0, 1, 1, 5], range(0, 6, 2)]),
        lambda t: t[:, :, [0, 0, 1, 1, 5]][..., ::2],
    ),
    "bilinear": (lambda v: table.interpolate(v, (2, 4, 13, 9)), lambda t: F.interpolate(t, (13, 9), mode="bilinear")),
    "bicubic": (
        lambda v: table.interpolate(v, (2, 4, 13, 9), 2.0, 16),
        lambda t: F.interpolate(t, (13, 9), mode="bicubic"),
    ),
    "neg": (table.neg, torch.neg),
    "abs": (table.abs, torch.abs),
    "relu": (table.relu, torch.relu),
    "clip": (lambda v: table.clip(v, -1.5, 6.0), lambda t: t.clamp(-1.5, 6.0)),
    "clip whole": (lambda v: table.clip(v, -3.0, 4.0), lambda t: t.clamp(-3.0, 4.0)),
    "leaky": (lambda v: table.leaky_relu(v, 0.1), lambda t: F.leaky_relu(t, 0.1)),
    "prelu": (lambda v: table.prelu(v, const(SLOPE)), lambda t: torch.where(t >= 0, t, t * torch.tensor(SLOPE))),
    "hard sigmoid": (lambda v: table.hard_sigmoid(v, 1 / 6, 0.5), F.hardsigmoid),
    "add constant": (lambda v: table.add(v, const(COLUMN)), lambda t: t + torch.tensor(COLUMN)),
    "add then sub": (
        lambda v: table.sub(table.add(v, const(np.float32(16777216.0))), const(np.float32(16777216.0))),
        lambda t: (t + 16777216.0) - 16777216.0,
    ),
    "constant less": (lambda v: table.sub(const(COLUMN), v), lambda t: torch.tensor(COLUMN) - t),
    "times constant": (lambda v: table.mul(v, const(COLUMN)), lambda t: t * torch.tensor(COLUMN)),
    "by constant": (lambda v: table.div(v, const(np.float32(-3.3))), lambda t: t / torch.tensor(-3.3)),
    "reciprocal": (
        lambda v: table.div(const(np.float32(2.0)), table.add(table.abs(v), const(np.float32(0.5)))),
        lambda t: 2 / (t.abs() + 0.5),
    ),
    "square": (lambda v: table.mul(v, v), lambda t: t * t),
    "twice": (lambda v: table.add(v, v), lambda t: t + t),
    "maximum": (lambda v: table.maximum(v, const(np.float32(2.0))), lambda t: t.clamp(min=2.0)),
    "minimum": (lambda v: table.minimum(v, const(COLUMN)), lambda t: torch.minimum(t, torch.tensor(COLUMN))),
    "where": (lambda v: table.where(v, const(np.float32(0.0))), lambda t: torch.where(t > 1, t, torch.zeros(()))),
    "dropout": (lambda v: table.dropout(v, 0.75, True), lambda t: F.dropout(t, 0.75, True)),
    "max pool": (
        lambda v: table.max_pool(v, Window.of((3, 2), (2, 2), ((1, 1), (0, 0)))),
        lambda t: F.max_pool2d(t, (3, 2), 2, (1, 0)),
    ),
    "max pool ceil": (
        lambda v: table.max_pool(v, Window.of((4, 4), (4, 4), ceil=True)),
        lambda t: F.max_pool2d(t, 4, ceil_mode=True),
    ),
    "average pool": (lambda v: table.average_pool(v, Window.of((2, 3), (2, 3))), lambda t: F.avg_pool2d(t, (2, 3))),
    "average pool pad": (
        lambda v: table.average_pool(v, Window.of((3, 3), (2, 1), ((1, 1), (1, 1)))),
        lambda t: F.avg_pool2d(t, 3, (2, 1), 1),
    ),
    "average pool without pad": (
        lambda v: table.average_pool(v, Window.of((3, 3), (2, 2), ((1, 1), (1, 1))), count_include_pad=False),
        lambda t: F.avg_pool2d(t, 3, 2, 1, count_include_pad=False),
    ),
    "average pool ceil": (
        lambda v: table.average_pool(v, Window.of((3, 3), (2, 2), ((1, 1), (1, 1)), ceil=True)),
        lambda t: F.avg_pool2d(t, 3, 2, 1, ceil_mode=True),
    ),
    "sum pool": (
        lambda v: table.average_pool(v, Window.of((3, 3), (2, 2), ((1, 1), (1, 1)), ceil=True), divisor=1),
        lambda t: F.avg_pool2d(t, 3, 2, 1, ceil_mode=True, divisor_override=1),
    ),
    "adaptive": (lambda v: table.adaptive_average_pool(v, (2, 3)), lambda t: F.adaptive_avg_pool2d(t, (2, 3))),
    "adaptive uneven": (lambda v: table.adaptive_average_pool(v, (4, 5)), lambda t: F.adaptive_avg_pool2d(t, (4, 5))),
    "adaptive max": (lambda v: table.adaptive_max_pool(v, (4, 5)), lambda t: F.adaptive_max_pool2d(t, (4, 5))),
    "mean": (lambda v: table.mean(v, (2, 3), False), lambda t: t.mean((2, 3))),
    "mean of channels": (lambda v: table.mean(v, (1,)), lambda t: t.mean(1, keepdim=True)),
    "total": (lambda v: table.total(v, (-1,)), lambda t: t.sum(-1, keepdim=True)),
    "largest": (lambda v: table.extremum_along(v, (1, 2), False), lambda t: t.amax((1, 2))),
    "softmax": (lambda v: table.softmax(v, 1), lambda t: t.softmax(1)),
    "log softmax": (lambda v: table.softmax(v, 1, True), lambda t: t.log_softmax(1)),
}
FUNCTIONS = {
    **{
        name: getattr(torch, name)
        for name in ("sigmoid", "tanh", "exp", "erf", "floor", "ceil", "round", "trunc", "sign")
    },
    **{name: getattr(F, name) for name in ("softplus", "elu", "selu", "softsign", "silu", "gelu", "hardswish", "mish")},
}


@pytest.mark.parametrize("name", CASES)
def test_operation(name):
    abstract, concrete = CASES[name]
    rng = np.random.default_rng(0)
    for trial in range(24):
        given = codes(rng, SHAPE) if trial % 3 else reals(rng, SHAPE)
        value = abstract(given.value)
        for tensor in given.tensors:
            check(value, concrete(tensor), f"{name} {trial}", resolved=name != "add then sub")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    rng = np.random.default_rng(1)
    for trial in range(12):
        given = codes(rng, SHAPE) if trial % 2 else reals(rng, SHAPE)
        value = table.function(given.value, name)
        for tensor in given.tensors:
            result = FUNCTIONS[name](tensor)
            if torch.isfinite(result).all():
                check(value, result, f"{name} {trial}")


def test_two_streams():
    rng = np.random.default_rng(2)
    for trial in range(40):
        scale = None if trial % 2 else np.asarray(np.float32(0.3))
        a, b = codes(rng, SHAPE, scale=scale), codes(rng, SHAPE, scale=scale) if trial % 3 else reals(rng, SHAPE)
        for name, function in (
            ("add", torch.add),
            ("sub", torch.sub),
            ("mul", torch.mul),
            ("maximum", torch.maximum),
            ("minimum", torch.minimum),
        ):
            value = getattr(table, name)(a.value, b.value)
            for s, t in zip(a.tensors, b.tensors, strict=True):
                check(value, function(s, t), name)
        joined = table.concat([a.value, b.value], 1)
        for s, t in zip(a.tensors, b.tensors, strict=True):
            check(joined, torch.cat([s, t], 1), "concat")


def test_differences_of_one_scale_are_integers():
    rng = np.random.default_rng(5)
    a, b = (codes(rng, SHAPE, scale=np.asarray(np.float32(0.3))).value for _ in range(2))
    difference = table.sub(a, b).codes
    assert difference is not None
    assert difference.range.hi == int((a.codes.hi - b.codes.lo).max())


def test_unlisted_functions_are_unknown():
    value = table.function(Value.interval((1,), np.float64(0), np.float64(1)), "frobnicate")
    assert not value.bounded
    assert value.codes is None


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_products(groups):
    rng = np.random.default_rng(3)
    for trial in range(20):
        x = codes(rng, SHAPE, uniform=groups == 1) if trial % 4 else reals(rng, SHAPE)
        q = rng.integers(-7, 8, (8, 4 // groups, 3, 3))
        s = rng.choice(np.float32([0.1, 0.5, 0.013]), (8, 1, 1, 1))
        w = _weights(q, s)
        value = table.conv(x.value, w, (2, 1), ((1, 0), (1, 1)), (1, 1), groups)
        for t in x.tensors:
            check(
                value, F.conv2d(F.pad(t, (1, 1, 1, 0)), torch.from_numpy(w.number), None, (2, 1), 0, 1, groups), "conv"
            )
        q = rng.integers(-7, 8, (4, 8 // groups, 3, 3))
        w = _weights(q, np.float32(0.1).reshape(1, 1, 1, 1))
        value = table.conv_transpose(x.value, w, (2, 2), ((1, 1), (0, 0)), (1, 1), groups, (1, 0))
        for t in x.tensors:
            check(
                value, F.conv_transpose2d(t, torch.from_numpy(w.number), None, 2, (1, 0), (1, 0), groups), "transposed"
            )
        w = _weights(rng.integers(-7, 8, (6, 5)), np.float32(0.1).reshape(1, 1))
        value = table.matmul(x.value, w)
        for t in x.tensors:
            check(value, t @ torch.from_numpy(w.number), "matmul")


def _weights(q, scale):
    number = (q.astype(np.float32) * scale).astype(np.float32)
    q = q.astype(np.int64)
    return Value.constant(number, Codes(scale.astype(np.float64), q, q, IntType("INT4"), np.zeros((), np.int64)))


def test_matmul_of_two_streams():
    rng = np.random.default_rng(4)
    a, b = codes(rng, (1, 3, 5), uniform=True), codes(rng, (1, 5, 4), uniform=True)
    value = table.matmul_of(a.value, b.value, (1, 3, 4), 5)
    for s, t in zip(a.tensors, b.tensors, strict=True):
        check(value, s @ t)
