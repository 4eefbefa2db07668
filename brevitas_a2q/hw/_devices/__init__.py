"""FPGA parts and boards."""

from __future__ import annotations

from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._devices.table import boards, find_part, load_part, parts

__all__ = ["Part", "boards", "find_part", "load_part", "parts"]
