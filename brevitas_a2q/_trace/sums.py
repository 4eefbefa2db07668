"""Further ATen operations by the table of ranges: sums of many elements, chosen ones written over others, comparisons.

Rules are as in :mod:`brevitas_a2q._trace.operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np

from brevitas_a2q._ranges import Codes, Value, table
from brevitas_a2q._trace.memory import collapsed

__all__ = ["COMPARISONS", "SUMS", "TOLD_SHAPE", "mask"]

_LARGEST: Final = 1 << 31  # of a constant's integers
COMPARISONS: Final = frozenset({"eq", "ne", "gt", "ge", "lt", "le", "isnan", "isfinite", "logical_not"})


def mask(shape: Sequence[int]) -> Value:
    """Zeros and ones."""
    return Value.of_codes(tuple(shape), Codes.plain(np.ones(()), np.asarray(0), np.asarray(1)), "a mask")


def _or_zero(x: Value) -> Value:
    return table.where(x, Value.constant(np.zeros((), np.float32)))


def _cumsum(x: Value, axis: int, **_: Any) -> Value:
    """Each element a sum of one or more along an axis: of as many as there are, some of which may be zero."""
    place = axis % max(1, x.rank)
    return table.expand(table.total(_or_zero(x), [place], True), x.shape)


def _unfolded(x: Value, *_: Any, out: Sequence[int], **__: Any) -> Value:
    """Patches; zeros around the image."""
    return _or_zero(collapsed(x, tuple(out)))


def _folded(x: Value, size: Any, kernel: Sequence[int], *_: Any, out: Sequence[int], **__: Any) -> Value:
    """Each pixel a sum of what patches have at its place: of no more than a patch has pixels."""
    one = _or_zero(collapsed(x, (*out, 1)))
    return table.total(table.expand(one, (*out, prod(kernel))), [len(out)], False)


def _written(x: Value, *_: Any, source: Value) -> Value:
    """Some elements replaced by some of another tensor."""
    return table.where(x, collapsed(source, ()))


def _scattered(x: Value, axis: int, index: Value, source: Any, reduce: str | None = None) -> Value | None:
    return _written(x, source=_scalar(source)) if reduce is None else None


def _index_put(x: Value, indices: Any, source: Value, accumulate: bool = False, *_: Any) -> Value | None:
    return None if accumulate else _written(x, source=source)


def _scalar(value: Any) -> Value:
    return value if isinstance(value, Value) else Value.constant(np.asarray(value, np.float32))


def _integral(x: Value) -> Value:
    """A constant of whole numbers as integers."""
    number = x.number
    if number is None or x.codes is not None or number.dtype.kind not in "fiu" or not number.size:
        return x
    if (np.abs(number) >= _LARGEST).any() or (number != np.round(number)).any():
        return x
    low, high = np.asarray(int(number.min())), np.asarray(int(number.max()))
    return replace(x, codes=Codes.plain(np.ones(()), low, high))


def _product(x: Value, y: Value, *_: Any, out: Sequence[int], **__: Any) -> Value:
    return table.matmul_of(_integral(x), _integral(y), tuple(out), x.shape[-1])


def _mask_of(*_: Any, out: Sequence[int], **__: Any) -> Value:
    return mask(out)


SUMS: Final[dict[str, Callable[..., Any]]] = {
    "cumsum": _cumsum,
    "col2im": _folded,
    "im2col": _unfolded,
    **dict.fromkeys(("mm", "bmm", "mv"), _product),
    **dict.fromkeys(("scatter", "index_copy"), _scattered),
    "masked_scatter": lambda x, places, source: _written(x, source=source),
    **dict.fromkeys(("index_put", "_unsafe_index_put"), _index_put),
    **dict.fromkeys(COMPARISONS, _mask_of),
}
TOLD_SHAPE: Final = frozenset({_unfolded, _folded, _product, _mask_of})
