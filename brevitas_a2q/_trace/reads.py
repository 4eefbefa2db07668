"""Where a running model reads values of its input, which may lead another input elsewhere.

Most readings are operations that PyTorch dispatches, whose result or its shape depends on data. ``tolist``, ``numpy``
and the protocols behind ``np.asarray`` and DLPack read memory directly, and are seen as calls instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["DirectReads", "depends_on_values", "has_numbers", "place"]

_SHARED: Final = frozenset({"numpy", "__array__", "__dlpack__", "data_ptr"})
_DIRECT: Final = frozenset({"tolist", *_SHARED})


def depends_on_values(func: Any, args: Any) -> bool:
    """Whether an operation hands numbers of its arguments to Python, or makes a shape of them."""
    if torch.Tag.data_dependent_output in func.tags or func._schema.name == "aten::is_nonzero":
        return True
    if torch.Tag.dynamic_output_shape not in func.tags:
        return False
    if func._schema.name != "aten::index":
        return True
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def has_numbers(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether an operation computes with numbers that Python gives it; sizes, axes and places are none."""
    for position, argument in enumerate(func._schema.arguments):
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        if isinstance(value, (float, complex)):
            return True
        if isinstance(value, int) and str(argument.type).removesuffix("?") in ("number", "Tensor"):
            return True
    return False


def place() -> str | None:
    """File and line of the model's code that is running; None where it is Brevitas', whose checks decide nothing."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        package = str(frame.f_globals.get("__name__", "")).split(".")[0]
        if package not in ("torch", "numpy", "brevitas_a2q"):
            break
        frame = frame.f_back
    if str(frame.f_globals.get("__name__", "")).split(".")[0] == "brevitas":
        return None
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"


class DirectReads(TorchFunctionMode):
    """While active, ``seen`` is called with every tensor whose memory Python reads without a dispatched operation.

    It is told, too, whether the memory is shared from then on, so that it can be written without being seen.
    """

    def __init__(self, seen: Callable[[Tensor, bool], None]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _DIRECT and args and isinstance(args[0], Tensor):
            self._seen(args[0], name in _SHARED)
        return func(*args, **(kwargs or {}))
