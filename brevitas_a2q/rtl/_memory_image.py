"""Integers as words of bits: the contents of memories as hex, and the words of streams as 32-bit pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray

__all__ = ["Memory", "encoded", "hex_lines", "pieces"]

_CHUNK_BITS = 1 << 26  # unpacked bits at a time


@dataclass(frozen=True, eq=False)
class Memory:
    """The contents of a memory: one row a word, its elements from the low bits up."""

    values: IntArray  # shape: (words, elements)
    bits: int  # of one element; the word has elements * bits

    def text(self) -> str:
        """The file that ``$readmemh`` reads."""
        return hex_lines(self.values, self.bits)


def encoded(values: IntArray, dtype: IntType) -> IntArray:
    """Integers as their codes on a wire: a BIPOLAR -1 is a 0; others are two's complement when cut to their bits."""
    return (values + 1) >> 1 if dtype.name == "BIPOLAR" else values


def _bytes_of(values: IntArray, bits: int) -> npt.NDArray[np.uint8]:
    """Rows of elements packed into bytes, low bits first; shape: (words, bytes)."""
    if bits < 64:
        weights = np.arange(bits, dtype=np.int64)
        unpacked = ((values[:, :, None] >> weights) & 1).astype(np.uint8)
    else:  # sign bits beyond the integers' own
        weights = np.minimum(np.arange(bits, dtype=np.int64), 63)
        unpacked = ((values[:, :, None] >> weights) & 1).astype(np.uint8)
    return np.packbits(unpacked.reshape(len(values), -1), axis=1, bitorder="little")


def _chunks(values: IntArray, bits: int) -> list[IntArray]:
    step = max(1, _CHUNK_BITS // max(1, values.shape[1] * bits))
    return [values[i : i + step] for i in range(0, len(values), step)]


def hex_lines(values: IntArray, bits: int) -> str:
    """Words in hexadecimal, one a line, as many digits as their bits need.

    Example:
        >>> hex_lines(np.array([[1, -1], [7, 2]]), 4).split()
        ['f1', '27']
    """
    digits = -(-values.shape[1] * bits // 4)
    lines = []
    for chunk in _chunks(values, bits):
        lines += [row.tobytes()[::-1].hex()[-digits:].rjust(digits, "0") for row in _bytes_of(chunk, bits)]
    return "\n".join(lines) + "\n"


def pieces(values: IntArray, bits: int) -> npt.NDArray[Any]:
    """Words as 32-bit pieces, the lowest first; shape: (words, pieces), dtype uint32.

    Example:
        >>> pieces(np.array([[1, -1], [7, 2]]), 20).tolist()
        [[4293918721, 255], [2097159, 0]]
    """
    count = -(-values.shape[1] * bits // 32)
    found = [np.zeros((0, count), dtype="<u4")]
    for chunk in _chunks(values, bits):
        packed = _bytes_of(chunk, bits)
        padded = np.zeros((len(packed), 4 * count), dtype=np.uint8)
        padded[:, : packed.shape[1]] = packed
        found.append(padded.view("<u4"))
    return np.concatenate(found)
