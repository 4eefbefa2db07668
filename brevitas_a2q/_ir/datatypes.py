"""Integer data types under their QONNX names; they live with the ranges that they bound."""

from __future__ import annotations

from brevitas_a2q._ranges.datatypes import IntType

__all__ = ["IntType"]
