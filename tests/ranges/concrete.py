"""Concrete tensors that an abstract value allows, and whether results lie in one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from brevitas_a2q._ranges import Codes, IntType, Value

SCALES = np.float32([1.0, 0.5, 0.1, 3.7, 1e-3, 0.333, 17.0, 1e4])


@dataclass(frozen=True, eq=False)
class Concrete:
    """Tensors of one abstract value, as float32 arithmetic holds them, with the integers that they stand for."""

    value: Value
    tensors: list[torch.Tensor]
    integers: list[np.ndarray]


def _varying(rng, shape, draw):
    """An annotation that varies along no axis, along axis 1, or along all."""
    kind = rng.integers(4)
    sizes = {0: (), 1: tuple(n if d == 1 else 1 for d, n in enumerate(shape)), 2: (), 3: shape}[int(kind)]
    return np.asarray(draw(sizes))


def codes(rng, shape, *, scale=None, uniform=False):
    """Integers in a random range, at a random scale per tensor, channel or element."""
    if scale is None:
        scale = _varying(rng, shape, lambda size: rng.choice(SCALES, size) * rng.choice([1, 1, -1], size))
        scale = scale.flat[0].reshape(()) if uniform else scale
    one = _varying(rng, shape, lambda size: rng.integers(-20, 20, size))
    lo, hi = one, one + _varying(rng, one.shape, lambda size: rng.integers(0, 15, size))
    lo = np.broadcast_to(lo, np.broadcast_shapes(lo.shape, hi.shape))
    value = Value.of_codes(
        shape, Codes(np.asarray(scale, np.float64), lo, hi, IntType("INT8"), np.zeros((), np.int64)), "test"
    )
    tensors, integers = [], []
    for kind in range(6):
        low, high = (np.broadcast_to(end, shape) for end in (lo, hi))
        pick = rng.random(shape)
        v = {0: low, 1: high}.get(kind, np.where(pick < 0.3, low, np.where(pick < 0.6, high, (low + high) // 2)))
        integers.append(v)
        tensors.append(torch.from_numpy(v.astype(np.float32) * np.broadcast_to(scale, shape).astype(np.float32)))
    return Concrete(value, tensors, integers)


def reals(rng, shape):
    """Real values between random ends."""
    one = _varying(rng, shape, lambda size: rng.normal(0, 10 ** rng.uniform(-3, 4), size)).astype(np.float32)
    other = (one + rng.uniform(0, 10 ** rng.uniform(-3, 4), one.shape)).astype(np.float32)
    value = Value.interval(shape, one.astype(np.float64), other.astype(np.float64), "test")
    tensors = []
    for kind in range(6):
        low, high = (np.broadcast_to(end, shape) for end in (one, other))
        between = np.clip((low + (high - low) * rng.random(shape).astype(np.float32)), low, high)
        tensors.append(torch.from_numpy(np.array({0: low, 1: high}.get(kind, between), np.float32)))
    return Concrete(value, tensors, [])


def check(value, result, what="", resolved=True):
    """The result, a float32 tensor, lies in the value; so do its integers, up to what float32 can tell apart."""
    array = result.detach().double().numpy()
    assert tuple(array.shape) == tuple(value.shape), (what, array.shape, value.shape)
    assert (array >= value.lo).all(), (what, float((value.lo - array).max()))
    assert (array <= value.hi).all(), (what, float((array - value.hi).max()))
    if value.codes is not None:
        steps = array / value.codes.scale
        nearest = np.round(steps)
        near = np.abs(steps) < 2.0**18
        lo, hi = value.integer_ends()
        assert not resolved or (np.abs(steps - nearest)[near] < 0.1).all(), what
        assert (nearest >= lo)[near].all(), what
        assert (nearest <= hi)[near].all(), what
        assert value.codes.holds(value.codes.lo, value.codes.hi), what
