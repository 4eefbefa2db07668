"""ATen operations, to which all of PyTorch comes down, by the table of ranges.

A rule gets the operation's arguments with a :class:`Value` in the place of each tensor, and returns the value of what
it computes, or one for each of several results. An operation without a rule makes values unknown.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import torch

from brevitas_a2q._ranges import RangeError, Value, Window, table
from brevitas_a2q._trace.memory import collapsed, upright
from brevitas_a2q._trace.sums import SUMS, TOLD_SHAPE, mask

__all__ = ["RULES", "apply_rule"]

Rule = Callable[..., Any]


def _axis(axis: int, x: Value) -> int:
    return axis % max(1, x.rank)


def _same(x: Value, *_: Any, **__: Any) -> Value:
    return x


def _cast(x: Value, *_: Any, dtype: torch.dtype | None = None, **__: Any) -> Value:
    if dtype is not None and not dtype.is_floating_point:
        return Value.unknown(x.shape, "numbers of another type")
    return x


def _transpose(x: Value, first: int, second: int) -> Value:
    axes = list(range(x.rank))
    if axes:
        a, b = _axis(first, x), _axis(second, x)
        axes[a], axes[b] = axes[b], axes[a]
    return table.permute(x, axes)


def _places(size: int, start: int | None, end: int | None, step: int) -> range:
    return range(size)[slice(start, end, step)]


def _slice(x: Value, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Value:
    axis = _axis(axis, x)
    return table.take(x, axis, _places(x.shape[axis], start, end, step))


def _select(x: Value, axis: int, index: int) -> Value:
    axis = _axis(axis, x)
    taken = table.take(x, axis, [index])
    return table.reshape(taken, [n for d, n in enumerate(taken.shape) if d != axis])


def _split_sizes(x: Value, sizes: Sequence[int], axis: int = 0) -> list[Value]:
    axis, starts = _axis(axis, x), np.cumsum([0, *sizes])
    return [table.take(x, axis, range(a, a + n)) for a, n in zip(starts.tolist(), sizes, strict=False)]


def _split(x: Value, size: int, axis: int = 0) -> list[Value]:
    length = x.shape[_axis(axis, x)]
    return _split_sizes(x, [min(size, length - start) for start in range(0, length, size)], axis)


def _unbind(x: Value, axis: int = 0) -> list[Value]:
    return [_select(x, axis, index) for index in range(x.shape[_axis(axis, x)])]


def _index_select(x: Value, axis: int, index: Value) -> Value:
    axis = _axis(axis, x)
    if index.number is not None:
        return table.take(x, axis, np.asarray(index.number).reshape(-1))
    return table.take_any(x, axis, index.size)


def _flip(x: Value, axes: Sequence[int]) -> Value:
    for axis in axes:
        x = table.take(x, _axis(axis, x), range(x.shape[axis])[::-1])
    return x


def _roll(x: Value, shifts: Sequence[int], axes: Sequence[int] = ()) -> Value:
    if not axes:
        return collapsed(x, x.shape)
    for shift, axis in zip(shifts, axes, strict=True):
        size = x.shape[axis]
        x = table.take(x, _axis(axis, x), [(place - shift) % size for place in range(size)])
    return x


def _cat(parts: Sequence[Value], axis: int = 0) -> Value:
    parts = [part for part in parts if part.shape != (0,)]
    return table.concat(parts, axis)


def _stack(parts: Sequence[Value], axis: int = 0) -> Value:
    axis = axis % (parts[0].rank + 1)
    each = [table.reshape(part, (*part.shape[:axis], 1, *part.shape[axis:])) for part in parts]
    return table.concat(each, axis)


def _repeat(x: Value, repeats: Sequence[int]) -> Value:
    missing = len(repeats) - x.rank
    return table.tile(table.reshape(x, ((1,) * missing + x.shape)), repeats)


def _nearest(x: Value, *_: Any, out: Sequence[int], exact: bool = False, **__: Any) -> Value:
    # Which neighbour depends on the scale given and its rounding, but never on another row or channel.
    return table.resize(collapsed_in_images(x), [None, None, *([0] * n for n in out[2:])])


def collapsed_in_images(x: Value) -> Value:
    """Every pixel of a channel as any other of it."""
    for axis in range(2, x.rank):
        x = table.expand(table.take_any(x, axis, 1), x.shape)
    return x


def _pad(x: Value, pads: Sequence[int], fill: float = 0.0) -> Value:
    sides = [(pads[2 * k], pads[2 * k + 1]) for k in range(len(pads) // 2)]
    whole = [(0, 0)] * (x.rank - len(sides)) + sides[::-1]
    return table.pad(x, whole, float(fill))


def _copied_pad(mode: str) -> Rule:
    def rule(x: Value, pads: Sequence[int]) -> Value:
        sides = [(pads[2 * k], pads[2 * k + 1]) for k in range(len(pads) // 2)]
        return table.pad(x, [(0, 0)] * (x.rank - len(sides)) + sides[::-1], mode=mode)

    return rule


def _window(x: Value, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Window:
    axes = len(kernel) if len(kernel) > 1 else max(1, x.rank - 2)

    def each(given: Any, otherwise: Sequence[int]) -> list[int]:
        values = [given] if isinstance(given, int) else list(given)
        return list(otherwise) if not values else values * (axes // len(values))

    sides = each(kernel, ())
    pads = [(n, n) for n in each(padding, [0] * axes)]
    return Window.of(sides, each(stride, sides), pads, each(dilation, [1] * axes), ceil)


def _batched(rule: Rule, axes: int) -> Rule:
    """A rule for images with or without a batch axis."""

    def either(x: Value, *args: Any, **kwargs: Any) -> Any:
        if x.rank == axes + 2:
            return rule(x, *args, **kwargs)
        result = rule(table.reshape(x, (1, *x.shape)), *args, **kwargs)
        return table.reshape(result, result.shape[1:])

    return either


def _max_pool(
    x: Value, kernel: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,), ceil: bool = False
) -> Value:
    return table.max_pool(x, _window(x, kernel, stride, padding, dilation, ceil))


def _average_pool(
    x: Value,
    kernel: Any,
    stride: Any = (),
    padding: Any = (0,),
    ceil: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Value:
    window = _window(x, kernel, stride, padding, (1,), ceil)
    return table.average_pool(x, window, count_include_pad=count_include_pad, divisor=divisor)


def _reduced(reduce: Callable[..., Value]) -> Rule:
    def rule(x: Value, axes: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Value:
        if dtype not in (None, torch.float32, torch.float64):
            return Value.unknown((), "a sum of numbers of another type")
        given = [axes] if isinstance(axes, int) else list(axes or range(x.rank))
        return reduce(x, sorted(_axis(axis, x) for axis in given), keepdim)

    return rule


def _scalar(value: Any) -> Value:
    return value if isinstance(value, Value) else Value.constant(np.asarray(value, np.float32))


def _add(x: Any, y: Any, *, alpha: float = 1) -> Value:
    return table.add(_scalar(x), _scalar(y)) if alpha == 1 else table.add(_scalar(x), _mul(_scalar(y), alpha))


def _neg(x: Value) -> Value:
    return upright(table.neg(x))


def _sub(x: Any, y: Any, *, alpha: float = 1) -> Value:
    return _add(x, _neg(_scalar(y)), alpha=alpha)


def _mul(x: Any, y: Any) -> Value:
    return table.mul(_scalar(x), _scalar(y))


def _div(x: Any, y: Any, *, rounding_mode: str | None = None) -> Value:
    quotient = table.div(_scalar(x), _scalar(y))
    return quotient if rounding_mode is None else Value.unknown(quotient.shape, "a rounded quotient")


def _clamp(x: Value, low: Any = None, high: Any = None) -> Value:
    if isinstance(low, Value) or isinstance(high, Value):
        return Value.unknown(x.shape, "limits that are tensors")
    bottom, top = (-np.inf if low is None else float(low)), (np.inf if high is None else float(high))
    return table.relu(x) if (bottom, top) == (0.0, np.inf) else table.clip(x, bottom, top)


def _where(condition: Any, x: Any, y: Any) -> Value:
    return table.where(_scalar(x), _scalar(y), condition.shape)


def _anywhere(x: Value, *_: Any, out: Sequence[int], **__: Any) -> Value:
    return collapsed(x, tuple(out))


def _masked_fill(x: Value, mask: Any, fill: Any) -> Value:
    return table.where(x, _scalar(fill), mask.shape)


def _copy(x: Value, source: Value, *_: Any) -> Value:
    return table.expand(source, x.shape)


def _fill(x: Value, fill: Any) -> Value:
    return table.expand(_scalar(fill), x.shape) if not isinstance(fill, Value) else _copy(x, fill)


def _zero(x: Value) -> Value:
    return _fill(x, 0.0)


def _zeros(x: Value, *_: Any, out: Sequence[int], **__: Any) -> Value:
    return table.expand(_scalar(0.0), tuple(out))


def _shaped(x: Value, *given: Any, out: Sequence[int], **__: Any) -> Value:
    if any(isinstance(each, torch.dtype) for each in given):  # the same bits as other numbers
        return Value.unknown(tuple(out), "bits of another type")
    return table.reshape(x, tuple(out)) if prod(out) == x.size else Value.unknown(tuple(out))


def _expanded(x: Value, *_: Any, out: Sequence[int], **__: Any) -> Value:
    return table.expand(x, tuple(out))


def _function(name: str) -> Rule:
    """A function as the table states it: without a parameter of its own, such as the slope of ``elu``."""

    def rule(x: Value, *given: Any, approximate: str = "none", **named: Any) -> Value:
        return Value.unknown(x.shape, f"{name} with parameters") if given or named else table.function(x, name)

    return rule


def _linear(x: Value, *_: Any, out: Sequence[int], **__: Any) -> Value:
    return table.interpolate(x, tuple(out), 1.0, 1 << (x.rank - 2))


# Rules that are told the shape of the result.
_TOLD_SHAPE: Final = TOLD_SHAPE | {_shaped, _expanded, _nearest, _anywhere, _linear, _zeros}

RULES: Final[dict[str, Rule]] = {
    **SUMS,
    **dict.fromkeys(["alias", "detach", "clone", "contiguous", "lift", "lift_fresh", "rename"], _same),
    **dict.fromkeys(["_to_copy", "to"], _cast),
    **dict.fromkeys(
        ["view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze", "flatten", "unflatten"], _shaped
    ),
    **dict.fromkeys(["expand", "expand_as", "broadcast_to"], _expanded),
    "permute": table.permute,
    "transpose": _transpose,
    "t": lambda x: _transpose(x, 0, 1) if x.rank == 2 else x,
    "slice": _slice,
    "narrow": lambda x, axis, start, length: _slice(x, axis, start, start + length),
    "select": _select,
    "split": _split,
    "split_with_sizes": _split_sizes,
    "unbind": _unbind,
    "index_select": _index_select,
    "flip": _flip,
    "roll": _roll,
    "cat": _cat,
    "stack": _stack,
    "repeat": _repeat,
    **dict.fromkeys(
        ["gather", "index", "take", "take_along_dim", "unfold", "sort", "topk", "masked_select"], _anywhere
    ),
    **dict.fromkeys(["zeros_like", "new_zeros"], _zeros),
    **dict.fromkeys(["upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"], _nearest),
    **dict.fromkeys(["_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"], _nearest),
    "pixel_shuffle": table.pixel_shuffle,
    "pixel_unshuffle": table.pixel_unshuffle,
    "channel_shuffle": _anywhere,
    "constant_pad_nd": _pad,
    **{f"reflection_pad{n}d": _copied_pad("reflect") for n in (1, 2, 3)},
    **{f"replication_pad{n}d": _copied_pad("edge") for n in (1, 2, 3)},
    "max_pool1d": _batched(_max_pool, 1),
    "max_pool2d": _batched(_max_pool, 2),
    "max_pool2d_with_indices": _batched(_max_pool, 2),
    "max_pool3d_with_indices": _batched(_max_pool, 3),
    "max_pool3d": _batched(_max_pool, 3),
    "adaptive_max_pool2d": _batched(table.adaptive_max_pool, 2),
    "adaptive_max_pool3d": _batched(table.adaptive_max_pool, 3),
    "avg_pool1d": _batched(_average_pool, 1),
    "avg_pool2d": _batched(_average_pool, 2),
    "avg_pool3d": _batched(_average_pool, 3),
    "_adaptive_avg_pool2d": _batched(table.adaptive_average_pool, 2),
    "_adaptive_avg_pool3d": _batched(table.adaptive_average_pool, 3),
    "mean": _reduced(table.mean),
    "sum": _reduced(table.total),
    "amax": _reduced(table.extremum_along),
    "amin": _reduced(table.extremum_along),
    "max": lambda x, *rest: _reduced(table.extremum_along)(x, *rest) if rest and isinstance(rest[0], int) else None,
    "min": lambda x, *rest: _reduced(table.extremum_along)(x, *rest) if rest and isinstance(rest[0], int) else None,
    "relu": table.relu,
    "leaky_relu": lambda x, slope=0.01: table.leaky_relu(x, float(slope)),
    "hardtanh": lambda x, low=-1.0, high=1.0: _clamp(x, low, high),
    "clamp": _clamp,
    "clamp_min": lambda x, low: _clamp(x, low),
    "clamp_max": lambda x, high: _clamp(x, None, high),
    "neg": _neg,
    "abs": table.abs,
    "add": _add,
    "sub": _sub,
    "rsub": lambda x, y, alpha=1: _sub(y, x, alpha=alpha),
    "mul": _mul,
    "div": _div,
    "maximum": table.maximum,
    "minimum": table.minimum,
    "where": _where,
    "masked_fill": _masked_fill,
    "copy": _copy,
    "fill": _fill,
    "zero": _zero,
    **{name: _function(name) for name in table.FUNCTIONS},
    "bernoulli": lambda x, *_, **__: mask(x.shape),
    **dict.fromkeys(["upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"], _linear),
    "hardsigmoid": lambda x: table.hard_sigmoid(x, 1 / 6, 0.5),
    "_softmax": lambda x, axis, *_: table.softmax(x, _axis(axis, x)),
    "softmax": lambda x, axis, *_: table.softmax(x, _axis(axis, x)),
}


def apply_rule(name: str, args: Sequence[Any], kwargs: dict[str, Any], shapes: Sequence[Sequence[int]]) -> list[Value]:
    """One value for each result of an operation; unknown where no rule states it.

    Args:
        name: Of the ATen operation, without the underscore of its in-place form.
        args: Its arguments, tensors as values.
        kwargs: Likewise.
        shapes: Of its results.
    """
    if name.startswith("_foreach_"):
        return _for_each(name.removeprefix("_foreach_"), args, kwargs, shapes)
    rule, given = RULES.get(name), dict(kwargs)
    if rule is None:
        return _unstated(name, shapes)
    if rule in _TOLD_SHAPE:
        given["out"] = tuple(shapes[0]) if shapes else ()
    try:
        result = rule(*args, **given)
    except (RangeError, TypeError, ValueError, IndexError):
        return _unstated(name, shapes)
    found = result if isinstance(result, list) else [result]
    # Results beyond the first of one value are indices and the like.
    return [
        value if value is not None and value.shape == tuple(shape) else _unstated(name, [shape])[0]
        for value, shape in itertools.zip_longest(found[: len(shapes)], shapes)
    ]


def _unstated(name: str, shapes: Sequence[Sequence[int]]) -> list[Value]:
    return [Value.unknown(tuple(shape), name.strip("_")) for shape in shapes]


def _for_each(name: str, args: Sequence[Any], kwargs: dict[str, Any], shapes: Sequence[Sequence[int]]) -> list[Value]:
    """The same operation on each tensor of a list."""
    each = [[a[i] if isinstance(a, (list, tuple)) else a for a in args] for i in range(len(shapes))]
    return [apply_rule(name, one, kwargs, [shape])[0] for one, shape in zip(each, shapes, strict=True)]
