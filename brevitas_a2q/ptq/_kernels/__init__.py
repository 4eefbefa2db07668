"""Kernels that put one row of weights within an accumulator's budget for least error of the layer's output."""

from pathlib import Path

from brevitas_a2q.quant._kernels.compiler import forget_stale

forget_stale(Path(__file__).parent)
