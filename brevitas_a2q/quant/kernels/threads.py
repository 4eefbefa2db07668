"""Kernels over parts of their arrays, on as many threads as torch may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch

__all__ = ["in_parts", "parts_of"]

_WORTH_A_THREAD = 1 << 15  # values; a thread takes some 20 microseconds to be woken and waited for


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    # Of this process: a forked one has no threads of its parent's.
    return ThreadPoolExecutor(threads, thread_name_prefix="brevitas_a2q")


def parts_of(count: int, values: int, together: int = 1) -> list[tuple[int, int]]:
    """First and last (one beyond) of each part that a thread takes.

    Args:
        count: Number of what is divided.
        values: Number of values in all of it.
        together: What only multiples of may be divided off.

    Example:
        >>> parts_of(10, 10)
        [(0, 10)]
    """
    threads = max(1, min(torch.get_num_threads(), values // _WORTH_A_THREAD, count // together))
    ends = [count // together * n // threads * together for n in range(threads)]
    return list(pairwise([*ends, count]))


def in_parts(kernel: Callable[..., Any], parts: list[tuple[Any, ...]]) -> list[Any]:
    """Call a kernel that holds no lock with each of these arguments at the same time.

    Returns:
        Its results, in order.
    """
    if len(parts) == 1:
        return [kernel(*parts[0])]
    pool = _pool(os.getpid(), torch.get_num_threads())
    jobs = [pool.submit(kernel, *arguments) for arguments in parts[1:]]
    mine = kernel(*parts[0])
    return [mine, *(job.result() for job in jobs)]
