"""Tensors on a processor as the arrays that kernels take: their own memory, nothing copied."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["channels_of", "is_dense", "line", "packed"]

# Sixteen-bit floats as brevitas_a2q.quant._kernels.halves reads them.
_NUMPY: dict[torch.dtype, Any] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.bfloat16: np.uint16,
    torch.float16: np.int16,
    torch.int16: np.int16,
}


def line(tensor: Tensor) -> Any:
    """Values of a dense tensor in the order in which they lie in memory.

    ``Tensor.numpy`` would do, but makes the storage one that cannot be resized, which is how sharded training (FSDP)
    frees it.

    Returns:
        An array that shares the tensor's memory.  # shape: (n,)
    """
    size, kind = tensor.numel(), _NUMPY[tensor.dtype]
    if not size:
        return np.empty(0, kind)
    memory: Any = (ctypes.c_byte * (size * tensor.element_size())).from_address(tensor.data_ptr())
    memory.owner = tensor  # lives as long as the array
    return np.frombuffer(memory, kind)


def is_dense(tensor: Tensor) -> bool:
    """Whether it is a permutation of a contiguous tensor: one that is channels-last, for example."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def packed(tensor: Tensor) -> Tensor:
    """The tensor, copied where its values do not lie next to each other in memory."""
    return tensor if is_dense(tensor) else tensor.contiguous()


def channels_of(tensor: Tensor, *per_channel: Tensor) -> tuple[int, int] | None:
    """Along which dimension of a dense tensor others vary that broadcast to it.

    Returns:
        Its size, and how many values with the same place in it lie next to each other: ``(1, n)`` where none varies,
        None where they vary along several.
    """
    varying = {
        tensor.dim() - value.dim() + place
        for value in per_channel
        for place, size in enumerate(value.shape)
        if size > 1
    }
    if not varying:
        return 1, tensor.numel()
    dim = varying.pop()
    return None if varying else (tensor.shape[dim], tensor.stride(dim))
