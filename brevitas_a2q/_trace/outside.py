"""Products of two tensors that no quantized layer computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from brevitas_a2q._ranges import Value

__all__ = ["Product", "product_of"]

# Which two arguments are multiplied, and along which axis of the first.
_PRODUCTS: Final = {
    "mm": (0, 1, -1),
    "bmm": (0, 1, -1),
    "mv": (0, 1, -1),
    "dot": (0, 1, -1),
    "addmm": (1, 2, -1),
    "baddbmm": (1, 2, -1),
    "addmv": (1, 2, -1),
    "linear": (0, 1, -1),
    "convolution": (0, 1, None),
    "_convolution": (0, 1, None),
}
_ATTENTION: Final = ("scaled_dot_product", "_scaled_dot_product")


@dataclass(frozen=True)
class Product:
    """A product of two tensors outside of a quantized layer."""

    module: str  # the innermost module that ran it
    operation: str
    size: int  # products per output
    left: Value
    right: Value


def product_of(module: str, name: str, args: Sequence[Any]) -> Product | None:
    """The product that an ATen operation computes of values; None of others."""
    if name.startswith(_ATTENTION):
        return Product(module, name.strip("_"), args[0].shape[-1], args[0], args[1])
    if name not in _PRODUCTS:
        return None
    first, second, axis = _PRODUCTS[name]
    left, right = args[first], args[second]
    size = left.shape[axis] if axis is not None else int(np.prod(right.shape[1:]))
    return Product(module, name.strip("_"), size, left, right)
