"""How kernels are launched: block sizes, and arithmetic as written.

Triton compiles a kernel again where an argument is 1 or a multiple of 16; kernels except those that gain nothing by it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["cdiv", "launch", "power_of_two", "row_blocks"]

_LARGEST_BLOCK = 2048  # values of a row that a program holds at a time
_WIDE = 1024  # from which on eight warps share them


def cdiv(count: int, size: int) -> int:
    """Blocks of a size that hold so many."""
    return -(-count // size)


def power_of_two(count: int) -> int:
    """The smallest that is not below."""
    return 1 << max(0, count - 1).bit_length()


def row_blocks(length: int) -> dict[str, int]:
    """Options of kernels that go through rows of this length block by block."""
    block = min(max(power_of_two(length), 16), _LARGEST_BLOCK)
    return {"BLOCK": block, "num_warps": 8 if block > _WIDE else 4}


def launch(kernel: Any, programs: int, first: Tensor, /, *arguments: Any, **options: Any) -> None:
    """Start so many programs of a kernel where its first argument is, without contracting ``a * b + c`` to one
    rounding."""
    if programs:
        with torch.cuda.device_of(first):
            kernel[programs,](first, *arguments, enable_fp_fusion=False, **options)
