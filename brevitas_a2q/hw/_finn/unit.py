"""What FINN asks of a node, and the frozen answer for one node.

Source: FINN ``custom_op/fpgadataflow/hwcustomop.py`` (a node costs nothing unless its class says so) and
``util/basic.py`` (which DSP block a part has).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._devices import Part, find_part
from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType
from brevitas_a2q.hw._units.finn_node import Version

__all__ = ["FinnNode", "FinnUnit", "Version", "ceil_div", "dsp_block"]

_VERSAL = ("xcvc", "xcve", "xcvp", "xcvm", "xqvc", "xqvm", "xqrvc")


def ceil_div(numerator: int, denominator: int) -> int:
    """``ceil(numerator / denominator)`` in integers."""
    return -(-numerator // denominator)


def dsp_block(part: str | Part) -> str:
    """DSP58, DSP48E1 or DSP48E2: from an ordering code as FINN's ``get_dsp_block`` decides, else by table.

    Example:
        >>> [dsp_block(p) for p in ("xcvc1902-vsva2197-2MP-e-S", "xc7z020clg400-1", "xczu7ev-ffvc1156-2-e")]
        ['DSP58', 'DSP48E1', 'DSP48E2']
    """
    if isinstance(part, Part):
        return part.dsp_block
    if len(part) < 3 or not part.startswith(("xc", "xq", "xa")):
        return find_part(part).dsp_block  # a board or a file
    if part.startswith(_VERSAL):
        return "DSP58"
    return "DSP48E1" if part[2] == "7" else "DSP48E2"


@dataclass(frozen=True)
class FinnNode:
    """FINN's estimate of one node, equal to what FINN itself prints.

    Widths are in bits, memories in words; None where FINN's class has no such notion.
    """

    op_type: str
    lut: int
    bram18: int
    uram: int
    dsp: int
    cycles: int
    bram_efficiency: float
    uram_efficiency: float
    input_width: int
    output_width: int
    weight_width: int | None
    wmem: int | None
    tmem: int | None

    @property
    def resources(self) -> Resources:
        """The four counts alone."""
        return Resources(self.lut, self.bram18, self.uram, self.dsp)


class FinnUnit:
    """One node; subclasses read their attributes once and override what FINN's class overrides.

    ``input_elements`` and ``output_elements`` are the values in one word of a stream (the last axis of FINN's folded
    shape), ``output_shape`` is FINN's unfolded ("normal") shape. Shapes have the batch first and the channels last.
    """

    op_types: ClassVar[tuple[str, ...]] = ()

    output_elements: int
    output_shape: tuple[int, ...]
    output_type: DataType

    def __init__(self, node: Attributes) -> None:
        self.op_type = node.op_type

    def input_elements(self, index: int = 0) -> int:
        """Values in one word of input ``index``."""
        return self.output_elements

    def input_type(self, index: int = 0) -> DataType:
        """Data type of input ``index``."""
        return self.output_type

    def input_width(self, index: int = 0) -> int:
        """Bits in one word of input ``index``."""
        return self.input_elements(index) * self.input_type(index).bits

    @property
    def output_width(self) -> int:
        """Bits in one word of the output."""
        return self.output_elements * self.output_type.bits

    @property
    def weight_width(self) -> int | None:
        """Bits in one word of the weight (or threshold) stream."""
        return None

    @property
    def wmem(self) -> int | None:
        """Words of weight memory per PE."""
        return None

    @property
    def tmem(self) -> int | None:
        """Words of threshold memory per PE."""
        return None

    @property
    def cycles(self) -> int:
        """Expected cycles for one image: by default the number of output words."""
        return prod(self.output_shape) // self.output_elements

    @property
    def lut(self) -> int:
        """LUTs."""
        return 0

    @property
    def bram18(self) -> int:
        """18-kbit block RAMs."""
        return 0

    @property
    def uram(self) -> int:
        """UltraRAMs."""
        return 0

    @property
    def bram_efficiency(self) -> float:
        """Bits stored over bits of block RAM; 1 where there is none."""
        return 1

    @property
    def uram_efficiency(self) -> float:
        """Bits stored over bits of UltraRAM; 1 where there is none."""
        return 1

    def dsp(self, block: str) -> int:
        """DSP blocks of this type."""
        return 0

    def estimate(self, part: str | Part) -> FinnNode:
        """Everything at once, for one part."""
        return FinnNode(
            op_type=self.op_type,
            lut=self.lut,
            bram18=self.bram18,
            uram=self.uram,
            dsp=self.dsp(dsp_block(part)),
            cycles=self.cycles,
            bram_efficiency=self.bram_efficiency,
            uram_efficiency=self.uram_efficiency,
            input_width=self.input_width(),
            output_width=self.output_width,
            weight_width=self.weight_width,
            wmem=self.wmem,
            tmem=self.tmem,
        )
