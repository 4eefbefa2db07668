"""What flows along an edge of an executed network: real values, or integers at a scale, each made from the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from brevitas_a2q._ir.tensor import Codes

__all__ = ["Stream", "tensor_of"]


def tensor_of(array: npt.NDArray[Any], dtype: npt.DTypeLike = np.float32) -> Tensor:
    """A tensor with a copy of an array's values (PyTorch wants arrays that it may write to)."""
    return torch.from_numpy(np.array(array, dtype))


@dataclass(frozen=True, eq=False)
class Stream:
    """A batch of one tensor. Integers (code less zero-point) are kept in a float type that holds them exactly.

    Exactly one of ``values`` and ``integers`` is given.
    """

    values: Tensor | None = None  # float32
    integers: Tensor | None = None
    scale: Tensor | None = None  # float32, of the integers; shape: broadcastable to them

    @classmethod
    def of_integers(cls, integers: Tensor, codes: Codes) -> Stream:
        """Integers at the scale that range analysis found for this tensor."""
        return cls(integers=integers, scale=tensor_of(codes.scale))

    def real(self) -> Tensor:
        """Real values, in float32 as the QONNX executor holds them."""
        if self.values is not None:
            return self.values
        assert self.integers is not None
        assert self.scale is not None
        return self.integers.float() * self.scale

    def integers_at(self, codes: Codes) -> Tensor:
        """The integers behind the values, by the scale of the tensor's annotation."""
        if self.integers is not None:
            return self.integers
        assert self.values is not None
        return torch.round(self.values / tensor_of(codes.scale))

    def moved(self, move: Callable[[Tensor], Tensor]) -> Stream:
        """After an operation that only moves or selects elements; integers stay integers if they share a scale."""
        if self.integers is not None and self.scale is not None and self.scale.numel() == 1 and float(self.scale) > 0:
            return Stream(integers=move(self.integers), scale=self.scale.reshape(()))
        return Stream(values=move(self.real()))
