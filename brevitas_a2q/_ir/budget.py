"""How much memory and work a file may ask for: bounded by its own size, whatever its nodes say.

Ranges that would take more are joined; they then say less, and stay true. Constants that would take more are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q.errors import OnnxFileError

__all__ = ["Budget"]

_BASE: Final = 1 << 23  # elements, however small the file
_PER_ELEMENT: Final = 16  # elements for each that the file holds itself
_WORK: Final = 12  # how often each element of the budget may be read
_SMALL: Final = 1 << 8  # annotations of this size are free: there are no more of them than nodes
_COARSE: Final = 1 << 12  # elements of annotations when the budget is spent


@dataclass
class Budget:
    """Elements that may be held and read.

    Args:
        file: To name it.
        held_by_file: Elements of its own constants.
    """

    file: str
    held_by_file: int
    annotations: int = field(default=0, init=False)
    constants: int = field(default=0, init=False)
    work: int = field(default=0, init=False)

    @property
    def size(self) -> int:
        """Elements that may be held, of annotations and of constants each."""
        return _BASE + _PER_ELEMENT * self.held_by_file

    def read(self, node: Node, tensor: Tensor) -> Tensor:
        """A tensor for a node that reads it; with a coarser annotation where too much work has been done."""
        self.work += tensor.cost if tensor.number is None else tensor.size
        if self.work <= self.size * _WORK:
            return tensor
        if tensor.number is not None and tensor.size > _COARSE:
            raise self._error(node)
        return tensor.within(_COARSE)

    def keep(self, node: Node, tensor: Tensor) -> Tensor:
        """A new tensor, with an annotation that can be kept."""
        if tensor.number is not None:
            self.constants += tensor.size
            if self.constants > self.size:
                raise self._error(node)
            return tensor
        if tensor.cost > _SMALL:
            tensor = tensor if self.annotations + tensor.cost <= self.size else tensor.within(_COARSE)
            self.annotations += tensor.cost
        return tensor

    def _error(self, node: Node) -> OnnxFileError:
        return node.error(
            f"computes on more constants than a file that holds {self.held_by_file} should need",
            expected=f"at most {self.size} elements",
            remedy="fold its constants first",
        )
