"""What runs on a GPU of NVIDIA or AMD: Triton's kernels where it is installed, as it is with torch on Linux.

Without it, and on every other accelerator, the methods run as tensor operations.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["on_gpu"]


@cache
def _found(module: str, name: str) -> Callable[..., Any] | None:
    if importlib.util.find_spec("triton") is None:
        return None
    kernel: Callable[..., Any] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return kernel


def on_gpu(module: str, name: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a module of this package that launches Triton's kernels; imported when it is first called.

    Args:
        module: ``gpu`` or ``activation_gpu``.
        name: Of the function.
        otherwise: The same as tensor operations.
    """

    def kernel(*args: Any) -> Any:
        return (_found(module, name) or otherwise)(*args)

    return kernel
