"""How kernels are compiled: once per machine where the result can be stored, else once per process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Codes", "Floats", "Integers", "Limits", "compiled", "compiled_sums", "divisor", "forget_stale", "inlined"]

Floats: TypeAlias = NDArray[Any]  # float32 or float64
Integers: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = NDArray[np.int16]
Limits: TypeAlias = tuple[int, int, int, int]  # x_hi, |x_lo|, and what the accumulator holds above and below zero

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def forget_stale(folder: Path) -> None:
    """Remove the stored code of a folder's kernels if any of their sources is newer.

    Numba compiles again what has changed, but not what calls it from another file.
    """
    newest = max((source.stat().st_mtime for source in folder.glob("*.py")), default=0.0)
    for stored in folder.glob("__pycache__/*.nb[ic]"):
        with suppress(OSError):  # another process was faster, or the folder is not ours, and then not used either
            if stored.stat().st_mtime < newest:
                stored.unlink()


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        return numba.njit(nogil=True, error_model="numpy", **options)(function)


def compiled(function: Kernel) -> Kernel:
    """A kernel with IEEE arithmetic as written."""
    kernel: Kernel = _compile(function)
    return kernel


def inlined(function: Kernel) -> Kernel:
    """Arithmetic on single values, compiled into the kernels that use it."""
    kernel: Kernel = _compile(function, inline="always")
    return kernel


def compiled_sums(function: Kernel) -> Kernel:
    """A kernel whose sums may be added in any order, several at a time."""
    kernel: Kernel = _compile(function, fastmath={"reassoc", "nsz"})
    return kernel


forget_stale(Path(__file__).parent)


@compiled
def divisor(s: Floats, row: int) -> Any:
    """Scale of a row to divide by; 1 for 0, times which all codes are the same."""
    step = s[row % len(s)]
    return step if step > 0 else s.dtype.type(1)
