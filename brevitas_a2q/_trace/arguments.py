"""What an ATen operation does with its arguments: which it writes, which it only reads, which are numbers of Python.

And what it makes without any: random numbers, or memory as it was found.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from brevitas_a2q._trace.leaves import tensors_in

__all__ = ["has_numbers", "is_random", "is_uninitialised", "reading", "shows_other_memory", "written"]

_UNINITIALISED: Final = ("aten::empty", "aten::new_empty")  # and what begins so


def is_random(func: Any) -> bool:
    """Whether an operation draws random numbers, by the tag that PyTorch gives all that do."""
    return torch.Tag.nondeterministic_seeded in func.tags


def is_uninitialised(func: Any) -> bool:
    """Whether what an operation returns holds whatever was in memory."""
    return str(func._schema.name).startswith(_UNINITIALISED)


def has_numbers(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether an operation computes with numbers that Python gives it; sizes, axes and places are none."""
    for position, argument in enumerate(func._schema.arguments):
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        if isinstance(value, (float, complex)):
            return True
        if isinstance(value, int) and str(argument.type).removesuffix("?") in ("number", "Tensor"):
            return True
    return False


def shows_other_memory(func: Any) -> bool:
    """Whether a tensor shows other memory from then on, of which nothing is written."""
    return getattr(func, "overloadpacket", None) is torch.ops.aten.set_


def written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Tensors that an operation writes, in the order of its arguments."""
    if not func._schema.is_mutable:
        return []
    found = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            found += tensors_in(value)
    return found


def reading(func: Any, args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """The arguments without those that are written only."""
    writes = {
        a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write and a.kwarg_only
    }
    return tuple(args), {name: value for name, value in kwargs.items() if name not in writes}
