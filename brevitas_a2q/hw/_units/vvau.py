"""Vector-vector-activation unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Memory
from brevitas_a2q.hw._units.finn_node import Node
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.matrix import MatrixUnit

__all__ = ["Vvau"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Vvau(MatrixUnit):
    """Vector-vector-activation unit: depthwise convolution. ``weights`` has shape (channels, kh * kw)."""

    kind: ClassVar[str] = "VVAU"
    kernel: tuple[int, int]
    output_dim: tuple[int, int]

    @property
    def pe_limit(self) -> int:
        return self.channels

    @property
    def simd_limit(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def check(self, folding: Folding) -> None:
        super().check(folding)
        if folding.simd > 1 and folding.pe != self.channels:
            raise FoldingError(
                f"found SIMD = {folding.simd} with PE = {folding.pe}",
                where=f"VVAU {self.name}",
                expected=f"PE = {self.channels} (all channels) where SIMD is above 1",
            )

    def foldings(self, part: Part, unrolled: bool = False) -> Iterator[Folding]:
        return (f for f in super().foldings(part, unrolled) if f.simd == 1 or f.pe == self.channels)

    def input_elements(self, folding: Folding, port: int = 0) -> int:
        return folding.simd * folding.pe

    def memories(self, folding: Folding) -> tuple[Memory, ...]:
        """FINN has no style for the thresholds inside: they are constants of its C++."""
        return tuple(m for m in super().memories(folding) if "ram_style_thresholds" not in m.fields)

    @property
    def shares_activations(self) -> bool:
        return False

    def finn_shape(self, vectors: list[int]) -> Node:
        sizes = {"Channels": self.channels, "Kernel": list(self.kernel), "Dim": list(self.output_dim)}
        return "VVAU", sizes
