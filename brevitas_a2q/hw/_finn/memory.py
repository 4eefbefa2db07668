"""Block RAMs of one memory, by FINN's rule for simple dual-port RAMB18s (UG573, table 1-10).

Source: FINN ``custom_op/fpgadataflow/matrixvectoractivation.py``, ``vectorvectoractivation.py``, ``streamingfifo.py``.
"""

from __future__ import annotations

from brevitas_a2q.hw._finn.unit import ceil_div

__all__ = ["BRAM18_BITS", "URAM_BITS", "bram18_count", "uram_count"]

BRAM18_BITS = 36 * 512
URAM_BITS = 72 * 4096

# Column widths that MVAU and FIFO divide by at depths 2048, 1024 and 512; the VVAU leaves the parity bits unused.
WITH_PARITY = (9, 18, 36)
WITHOUT_PARITY = (8, 16, 32)


def bram18_count(width: int, depth: int, columns: tuple[int, int, int] = WITH_PARITY) -> int:
    """RAMB18s of a memory of ``depth`` words of ``width`` bits.

    Example:
        >>> bram18_count(12, 216), bram18_count(108, 192)
        (1, 3)
    """
    if width == 1:
        return ceil_div(depth, 16384)
    if width == 2:
        return ceil_div(depth, 8192)
    if width <= 4:
        return ceil_div(depth, 4096)
    if width <= 9:
        return ceil_div(depth, 2048) * ceil_div(width, columns[0])
    if width <= 18 or depth > 512:
        return ceil_div(depth, 1024) * ceil_div(width, columns[1])
    return ceil_div(depth, 512) * ceil_div(width, columns[2])


def uram_count(width: int, depth: int) -> int:
    """UltraRAMs of a memory of ``depth`` words of ``width`` bits: 72 x 4096 each."""
    return ceil_div(width, 72) * ceil_div(depth, 4096)
