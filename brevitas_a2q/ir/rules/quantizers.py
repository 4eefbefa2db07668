"""Quantizers: Quant (and IntQuant), BipolarQuant, Trunc, MultiThreshold."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import A2QError
from brevitas_a2q.ir.datatypes import IntType
from brevitas_a2q.ir.network import Node
from brevitas_a2q.ir.quantizer import ROUNDING_MODES, MultiThreshold, Quantizer, Truncation, dequantize
from brevitas_a2q.ir.rules.call import Call, align, align_full, broadcast
from brevitas_a2q.ir.tensor import MAX_ANNOTATION, Codes, FloatArray, Tensor

__all__ = ["bipolar_quant", "multi_threshold", "quant", "trunc"]

_MAX_CODE_BITS = 32

# Sums in float32 can leave the exact interval by their rounding; a code that only such a sum reaches is kept.
_ROUNDING_MARGIN = 2.0**-16


def quant(call: Call) -> tuple[Node, tuple[Tensor, ...]]:
    """``Quant(x, scale, zero_point, bit_width)``."""
    signed, narrow = bool(call.attribute("signed", 1)), bool(call.attribute("narrow", 1))
    bits = _bit_width(call, 3)
    dtype = IntType("BIPOLAR") if bits == 1 and signed else IntType.of(bits, signed)
    return _quantize(
        call, Quantizer(_scale(call, 1), _zero_point(call, 2), dtype, narrow and dtype.name != "BIPOLAR", _mode(call))
    )


def bipolar_quant(call: Call) -> tuple[Node, tuple[Tensor, ...]]:
    """``BipolarQuant(x, scale)``: -1 or 1 by sign."""
    return _quantize(call, Quantizer(_scale(call, 1), np.zeros((), np.float32), IntType("BIPOLAR"), by_sign=True))


def _quantize(call: Call, quantizer: Quantizer) -> tuple[Node, tuple[Tensor, ...]]:
    x = call.tensor(0)
    shape = call.check_shape(broadcast(call, x.shape, quantizer.scale.shape, quantizer.zero_point.shape))
    zero_point = align(quantizer.zero_point.astype(np.int64), len(shape))
    scale = align(quantizer.scale.astype(np.float64), len(shape))
    if x.value is not None and prod(shape) > max(x.value.size, MAX_ANNOTATION):
        raise call.error(f"spreads constants to shape {shape}", expected="a scale per tensor or channel")
    if x.value is not None:
        if x.value.dtype.kind not in "fiu":
            raise call.error(f"found constants of type {x.value.dtype}", expected="real numbers")
        integers = np.broadcast_to(quantizer.integers(x.value), shape)
        codes = Codes(scale, integers, integers, quantizer.dtype, zero_point, quantizer.narrow)
        value = np.broadcast_to(dequantize(integers, quantizer.scale), shape)
        output = Tensor.of_value(call.node.output, value, codes, np.ascontiguousarray(integers))
    else:
        lo, hi = _widened(x)
        call.check_annotation(lo, hi, quantizer.scale, quantizer.zero_point)
        codes = Codes(
            scale, quantizer.integers(lo), quantizer.integers(hi), quantizer.dtype, zero_point, quantizer.narrow
        )
        output = call.of_codes(shape, codes)
    return call.done(output, quantizer=quantizer)


def trunc(call: Call) -> tuple[Node, tuple[Tensor, ...]]:
    """``Trunc``, both versions: drop low bits of integers of a known scale.

    Version 1: ``(x, scale, zero_point, input_bits, output_bits)``. Version 2:
    ``(x, scale, zero_point, input_bits, output_scale, output_bits)``.
    """
    x, second = call.stream(), call.optional(5) is not None
    scale, zero_point, bits = _scale(call, 1), _zero_point(call, 2), _bit_width(call, 5 if second else 4)
    output_scale = _scale(call, 4) if second else scale
    if scale.size != 1 or output_scale.size != 1 or zero_point.any():
        raise call.error("found a scale per channel or a zero-point", expected="one scale, zero-point 0")
    scale, output_scale = scale.reshape(()), output_scale.reshape(())
    shift = np.round(np.log2(output_scale / scale)) if second else np.float32(_bit_width(call, 3) - bits)
    limits = None
    if second:
        dtype = IntType.of(bits, bool(call.attribute("signed", 1)))
        limits = (dtype.range.lo + int(dtype.signed and bool(call.attribute("narrow", 0))), dtype.range.hi)
    truncation = Truncation(scale, np.exp2(shift, dtype=np.float32), output_scale, _mode(call, "FLOOR"), limits)
    lo, hi = (truncation.integers(end) for end in _widened(x))
    if not second:
        dtype = IntType.smallest(IntRange(int(lo.min()), int(hi.max())))
    codes = Codes(output_scale.astype(np.float64), lo, hi, dtype, np.zeros((), np.int64))
    return call.done(call.of_codes(x.shape, codes), quantizer=truncation)


def multi_threshold(call: Call) -> tuple[Node, tuple[Tensor, ...]]:
    """``MultiThreshold(x, thresholds)``: how many thresholds are at most x, times ``out_scale``, plus ``out_bias``."""
    x, thresholds = call.stream(2), call.constant(1, "threshold matrix").astype(np.float32)
    layout = call.attribute("data_layout", "NCHW")
    axis = len(x.shape) - 1 if layout in ("NHWC", "NC") else 1
    if thresholds.ndim != 2 or thresholds.shape[0] not in (1, x.shape[axis]) or not thresholds.shape[1]:
        raise call.error(f"found thresholds of shape {thresholds.shape}", expected=f"(1 or {x.shape[axis]}, steps)")
    scale, bias = call.attribute("out_scale", 1.0), call.attribute("out_bias", 0.0)
    if not 0 < scale < np.inf or abs(bias / scale) > 1 << 24 or bias / scale % 1:
        raise call.error(f"found out_scale {scale}, out_bias {bias}", expected="a positive scale, a multiple of it")
    function = MultiThreshold(thresholds, np.float32(scale).reshape(()), int(bias / scale), axis)
    if max(x.lo.size, x.hi.size) * thresholds.shape[1] > 4 * MAX_ANNOTATION:
        raise call.error("thresholds ranges that vary over too many elements", expected="ranges per channel")
    lo, hi = (function.integers(align_full(end, len(x.shape))) for end in (x.lo, x.hi))
    steps = IntRange(function.bias, function.bias + thresholds.shape[1])
    dtype = _declared_type(call) or IntType.smallest(steps)
    return call.done(
        call.of_codes(x.shape, Codes(np.float64(scale).reshape(()), lo, hi, dtype, np.zeros((), np.int64))),
        quantizer=function,
    )


def _declared_type(call: Call) -> IntType | None:
    try:
        return IntType.parse(call.attribute("out_dtype", ""))
    except A2QError:
        return None


def _widened(x: Tensor) -> tuple[FloatArray, FloatArray]:
    margin = _ROUNDING_MARGIN * np.maximum(np.abs(x.lo), np.abs(x.hi))
    return x.lo - margin * (x.lo != 0), x.hi + margin * (x.hi != 0)


def _scale(call: Call, index: int) -> npt.NDArray[np.float32]:
    scale = call.constant(index, "scale").astype(np.float32)
    if scale.size == 0 or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise call.error(
            f"found a scale of {scale.min() if scale.size else 'no value'}",
            expected="finite scales above 0",
            remedy="quantize again: a scale of zero usually means a layer that never saw data",
        )
    return scale


def _zero_point(call: Call, index: int) -> npt.NDArray[np.float32]:
    zero_point = call.constant(index, "zero-point").astype(np.float32)
    if zero_point.size == 0 or (zero_point != np.round(zero_point)).any() or (np.abs(zero_point) > 1 << 24).any():
        raise call.error("found a zero-point that is not a small integer", expected="integers")
    return zero_point


def _bit_width(call: Call, index: int) -> int:
    bits = call.constant(index, "bit width")
    if bits.size != 1 or not 1 <= float(bits.reshape(())) <= _MAX_CODE_BITS or float(bits.reshape(())) % 1:
        raise call.error(
            f"found bit width {bits.reshape(-1)[:4].tolist()}", expected=f"one integer from 1 to {_MAX_CODE_BITS}"
        )
    return int(bits.reshape(()))


def _mode(call: Call, default: str = "ROUND") -> str:
    mode = call.attribute("rounding_mode", default).upper()
    if mode not in ROUNDING_MODES:
        raise call.error(f"found rounding mode {mode!r}", expected=f"one of {', '.join(ROUNDING_MODES)}")
    return mode
