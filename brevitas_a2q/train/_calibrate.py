"""Activation scales from data, with which training begins; conversion does the same."""

from __future__ import annotations

from brevitas_a2q.quant._calibrate import calibrate

__all__ = ["calibrate"]
