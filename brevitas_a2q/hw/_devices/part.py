"""One FPGA part."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """What an FPGA offers. BRAM is counted in 18-kbit blocks."""

    name: str
    family: str  # 7-series, UltraScale+, Versal
    lut: int
    ff: int
    bram18: int
    uram: int
    dsp: int
    dsp_block: str  # DSP48E1, DSP48E2 or DSP58
