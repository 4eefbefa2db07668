"""LUTs of read-only memories by what they hold.

A column of a memory is cut into 64 words a LUT6; two of those meet in the slice's F7 multiplexer, four in its F8, and
LUTs choose among four of these. Columns and parts of them that are equal are there once, constant ones not at all, and
a multiplexer that one side of is constant is a gate: half a LUT, as two functions of five inputs in common are one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.dot_product import IntArray

__all__ = ["stored_luts"]

_LUT_WORDS = 64  # of one bit in a LUT6
_PAIRED_WORDS = 32  # of two bits in one
_CHOICES = 4  # of a multiplexer in a LUT6
_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Level:
    """Signals of one level by number, shape (memories, columns, parts): equal ones of any memory have one number."""

    ids: _Ids
    constant: npt.NDArray[np.bool_]

    def count(self, wanted: npt.NDArray[np.bool_]) -> int:
        """How many different ones of the wanted there are, memory by memory."""
        memory = np.arange(len(self.ids))[:, None, None]
        return len(np.unique((memory * (int(self.ids.max()) + 1) + self.ids)[wanted]))

    def joined(self, width: int) -> tuple[_Level, _Ids]:
        """The next level, each ``width`` parts one, and how many different signals each must choose from."""
        missing = -self.ids.shape[2] % width  # a part that is never asked for is the last one again
        shape = (*self.ids.shape[:2], -1, width)
        parts = np.pad(self.ids, ((0, 0), (0, 0), (0, missing)), mode="edge").reshape(shape)
        fixed = np.pad(self.constant, ((0, 0), (0, 0), (0, missing)), mode="edge").reshape(shape)
        numbers = int(parts.max()) + 1
        code = parts[..., 0]
        for place in range(1, width):
            code = _numbered(code * numbers + parts[..., place])
        # Sorted, those that differ from the one before are different; constant ones need no input.
        ordered = np.sort(np.where(fixed, -1, parts), axis=-1)
        data = (ordered[..., 1:] != ordered[..., :-1]).sum(axis=-1) + (ordered[..., 0] >= 0)
        same = (parts == parts[..., :1]).all(axis=-1)
        ids = _numbered(np.where(same, parts[..., 0], code + numbers))
        return _Level(ids, same & fixed[..., 0]), np.where(same, 0, data)


def _numbered(ids: _Ids) -> _Ids:
    return np.unique(ids, return_inverse=True)[1].reshape(ids.shape).astype(np.int64)


def stored_luts(contents: IntArray, bits: int) -> int:
    """LUTs of read-only memories by what they hold: equal columns of one are stored once, constant ones not at all.

    Args:
        contents: Shape (memories, words, elements of a word).
        bits: Of an element.

    Example:
        >>> stored_luts(np.array([[[1], [2], [3], [0]] * 16]), 8)
        2
    """
    words = contents.shape[1]
    if words <= 1 or contents.size == 0:
        return 0
    level = _leaves(contents, bits)
    distinct = level.count(~level.constant)
    if words <= _PAIRED_WORDS:
        memories = (_Level(i[None], c[None]) for i, c in zip(level.ids, level.constant, strict=True))
        return sum(-(-memory.count(~memory.constant) // 2) for memory in memories)
    whole, halves = distinct, 0
    for _ in range(2):  # the slice's own multiplexers: where one side is constant it is a gate
        level, data = level.joined(2)
        halves += level.count(data == 1)
    while level.ids.shape[2] > 1:
        level, data = level.joined(min(_CHOICES, level.ids.shape[2]))
        whole += level.count(data > 2)
        halves += level.count((data > 0) & (data <= 2))
    return whole + math.ceil(halves / 2)


def _leaves(contents: IntArray, bits: int) -> _Level:
    """The 64 words of a bit that a LUT holds, as one integer."""
    memories, words, elements = contents.shape
    chunks = -(-words // _LUT_WORDS)
    planes = (contents[:, :, :, None] >> np.arange(bits)) & 1
    columns = np.zeros((memories, chunks * _LUT_WORDS, elements * bits), np.uint8)
    columns[:, :words] = planes.reshape(memories, words, -1)
    packed = np.packbits(np.ascontiguousarray(columns.swapaxes(1, 2)), axis=2, bitorder="little")
    keys = packed.view("<u8").reshape(memories, elements * bits, chunks)
    ones = np.uint64((1 << min(words, _LUT_WORDS)) - 1)
    return _Level(_numbered(keys), (keys == 0) | (keys == ones))
