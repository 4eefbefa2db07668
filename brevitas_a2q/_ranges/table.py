"""The one table of operations: what is known of a result for what is known of its operands.

The reader of ONNX files, the trace of running models and the converter all look here, so they cannot disagree. What
the table does not state is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from brevitas_a2q._ranges.arithmetic import absolute as abs
from brevitas_a2q._ranges.arithmetic import add, div, dropout, maximum, minimum, mul, neg, sub, where
from brevitas_a2q._ranges.functions import (
    FUNCTIONS,
    batch_norm,
    clip,
    function,
    hard_sigmoid,
    leaky_relu,
    prelu,
    relu,
    softmax,
)
from brevitas_a2q._ranges.movement import concat, expand, identity, permute, reshape, take, take_any, tile
from brevitas_a2q._ranges.padding import pad
from brevitas_a2q._ranges.pooling import (
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    extremum_along,
    max_pool,
    mean,
    total,
)
from brevitas_a2q._ranges.products import conv, conv_transpose, matmul, matmul_of
from brevitas_a2q._ranges.quantizers import bipolar, quantize, threshold, truncate
from brevitas_a2q._ranges.resampling import interpolate, pixel_shuffle, pixel_unshuffle, resize, space_to_depth

__all__ = [
    "FUNCTIONS",
    "TABLE",
    "abs",
    "adaptive_average_pool",
    "adaptive_max_pool",
    "add",
    "average_pool",
    "batch_norm",
    "bipolar",
    "clip",
    "concat",
    "conv",
    "conv_transpose",
    "div",
    "dropout",
    "expand",
    "extremum_along",
    "function",
    "hard_sigmoid",
    "identity",
    "interpolate",
    "leaky_relu",
    "matmul",
    "matmul_of",
    "max_pool",
    "maximum",
    "mean",
    "minimum",
    "mul",
    "neg",
    "pad",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "quantize",
    "relu",
    "reshape",
    "resize",
    "softmax",
    "space_to_depth",
    "sub",
    "take",
    "take_any",
    "threshold",
    "tile",
    "total",
    "truncate",
    "where",
]

TABLE: Final[Mapping[str, Callable[..., Any]]] = {
    name: globals()[name] for name in __all__ if name not in ("FUNCTIONS", "TABLE")
}
