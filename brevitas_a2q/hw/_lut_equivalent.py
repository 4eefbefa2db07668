"""One number for what a design costs: every block counted as some LUTs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._prices import Price

__all__ = ["LutEquivalent"]


@dataclass(frozen=True)
class LutEquivalent:
    """What one block of each kind counts as, in LUTs."""

    bram18: float
    uram: float
    dsp: float

    @classmethod
    def of(cls, part: Part, weights: Mapping[str, float] | None = None) -> LutEquivalent:
        """As many LUTs as the part has for each block: a block and its LUTs are the same share of the part.

        A block that the part has none of counts as all of its LUTs, so that nothing asks for one without need.

        Args:
            part: Part in force.
            weights: LUTs per ``bram18``, ``uram`` or ``dsp`` where they shall count otherwise.

        Raises:
            FoldingError: For another name, or a weight that is not a number of at least 0.

        Example:
            >>> from brevitas_a2q.hw._devices import find_part
            >>> part = find_part("ZCU104")
            >>> round(LutEquivalent.of(part).bram18), LutEquivalent.of(part, {"bram18": 100}).bram18
            (369, 100)
        """
        default = cls(*(part.lut / max(1, have) for have in (part.bram18, part.uram, part.dsp)))
        for name, value in (weights or {}).items():
            if name not in ("bram18", "uram", "dsp"):
                raise FoldingError(f"found a weight of {name!r}", expected="bram18, uram or dsp")
            if not 0 <= value < math.inf:
                raise FoldingError(f"found a weight of {value} LUTs for {name}", expected="a number of at least 0")
        return replace(default, **(weights or {}))

    @property
    def price(self) -> Price:
        """Weights of (LUT, BRAM18, URAM, DSP)."""
        return 1.0, self.bram18, self.uram, self.dsp

    def __call__(self, used: Resources) -> float:
        """The LUT-equivalent of these resources."""
        return used.lut + self.bram18 * used.bram18 + self.uram * used.uram + self.dsp * used.dsp
