"""Products of two tensors that no quantized layer computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from brevitas_a2q._ranges import Value

__all__ = ["Factors", "Product", "factors_of", "products_of"]

Factors = tuple[Value, Value]

# Which two arguments are multiplied, and along which axis of the first.
_PRODUCTS: Final[dict[str, tuple[int, int, int | None]]] = {
    "mm": (0, 1, -1),
    "bmm": (0, 1, -1),
    "mv": (0, 1, -1),
    **dict.fromkeys(("dot", "vdot", "_int_mm", "_scaled_mm", "_sparse_mm"), (0, 1, -1)),
    "_sparse_addmm": (1, 2, -1),
    "conv_tbc": (0, 1, None),
    "addmm": (1, 2, -1),
    "baddbmm": (1, 2, -1),
    "addmv": (1, 2, -1),
    "linear": (0, 1, -1),
    "convolution": (0, 1, None),
    "_convolution": (0, 1, None),
}
_ATTENTION: Final = ("scaled_dot_product", "_scaled_dot_product")
# Operations that sum products of what they are given first, with the rest or with itself, and more than that.
_WHOLE: Final = (
    *("_fft_", "_embedding_bag", "_native_multi_head", "_transformer_encoder", "lstm", "gru", "rnn_", "quantized_"),
    *("_cdist", "_euclidean_dist", "_trilinear", "_linalg_solve", "linalg_", "addbmm"),
)
_SUMS: Final = ("sum", "mean", "cumsum", "nansum")


@dataclass(frozen=True)
class Product:
    """A product of two tensors outside of a quantized layer."""

    module: str  # the innermost module that ran it
    operation: str
    size: int  # products per output
    left: Value
    right: Value
    plain: bool = True  # whether its sums are of products of the two, and of nothing else


def products_of(module: str, name: str, args: Sequence[Any], factors: Factors | None) -> list[Product]:
    """The products that an ATen operation computes of values, or sums up.

    Args:
        module: That runs.
        name: Of the operation.
        args: What it is given.
        factors: Of which its operands are elementwise products.
    """
    found = _product_of(module, name, args), _summed(module, name, args, factors)
    return [product for product in found if product is not None]


def _product_of(module: str, name: str, args: Sequence[Any]) -> Product | None:
    if name.startswith(_ATTENTION):
        return Product(module, name.strip("_"), args[0].shape[-1], args[0], args[1])
    values = [arg for arg in args if isinstance(arg, Value)]
    if name.startswith(_WHOLE) and values:
        return Product(module, name.strip("_"), max(1, *values[0].shape, 1), values[0], values[-1], plain=False)
    if name not in _PRODUCTS:
        return None
    first, second, axis = _PRODUCTS[name]
    left, right = args[first], args[second]
    size = left.shape[axis] if axis is not None and left.shape else int(np.prod(right.shape[1:]))
    return Product(module, name.strip("_"), size, left, right)


def factors_of(name: str, args: Sequence[Any]) -> Factors | None:
    """The factors of an elementwise product of two tensors."""
    if name not in ("mul", "mul_") or len(args) < 2 or not all(isinstance(arg, Value) for arg in args[:2]):
        return None
    return (args[0], args[1]) if args[0].number is None and args[1].number is None else None


def _summed(module: str, name: str, args: Sequence[Any], factors: Factors | None) -> Product | None:
    """Sums of elementwise products: of two tensors, or of one with constants, whose scales tell."""
    if name not in _SUMS or not isinstance(args[0], Value):
        return None
    x = args[0]
    given = args[1] if len(args) > 1 and args[1] else range(x.rank)
    axes = [axis % max(1, x.rank) for axis in ([given] if isinstance(given, int) else given)]
    size = int(np.prod([x.shape[axis] for axis in axes]))
    scale = None if x.codes is None else x.codes.scale
    differ = scale is not None and scale.ndim == x.rank and any(scale.shape[axis] > 1 for axis in axes)
    if factors is None and not differ:
        return None
    left, right = factors or (x, Value.unknown(x.shape))
    return Product(module, f"mul and {name}", size, left, right, plain=False)
