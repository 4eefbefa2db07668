"""Kernels over parts of their arrays, on as many threads as torch may use.

They run on the threads of the OpenMP library that torch computes with, where its entry point is found: for some
milliseconds after each operation torch's threads wait for the next in a loop, and others would have to share the
processors with them. Elsewhere they run on threads of their own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import torch

__all__ = ["in_parts", "parts_of"]

_WORTH_A_THREAD = 1 << 15  # values; a thread takes some 20 microseconds to be woken and waited for

_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _openmp() -> Any:
    """The OpenMP library in this process, if it has the entry points of GNU's, as LLVM's and Intel's have too."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    return library if hasattr(library, "GOMP_parallel") and hasattr(library, "omp_get_thread_num") else None


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


def in_parts(kernel: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call a kernel that holds no lock with each of these arguments at the same time.

    Returns:
        Its results, in order.
    """
    if len(parts) == 1:
        return [kernel(*parts[0])]
    library = _openmp()
    if library is not None:
        return _by_openmp(library, kernel, parts)
    pool = _pool(os.getpid(), torch.get_num_threads())
    jobs = [pool.submit(kernel, *arguments) for arguments in parts[1:]]
    mine = kernel(*parts[0])
    return [mine, *(job.result() for job in jobs)]


def _by_openmp(library: Any, kernel: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> list[Any]:
    results: list[Any] = [None] * len(parts)
    errors: list[BaseException] = []

    def body(_: Any) -> None:
        # There may be fewer threads than asked for.
        try:
            for n in range(library.omp_get_thread_num(), len(parts), library.omp_get_num_threads()):
                results[n] = kernel(*parts[n])
        except BaseException as error:
            errors.append(error)

    library.GOMP_parallel(_Body(body), None, len(parts), 0)
    if errors:
        raise errors[0]
    return results
