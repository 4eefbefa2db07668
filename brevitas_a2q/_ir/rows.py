"""Weights of a layer as one row of products per output; see :mod:`brevitas_a2q._ranges.rows`."""

from __future__ import annotations

from brevitas_a2q._ranges.rows import conv_rows, conv_transpose_rows, transpose_phases

__all__ = ["conv_rows", "conv_transpose_rows", "transpose_phases"]
