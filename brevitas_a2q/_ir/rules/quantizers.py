"""Quantizers: Quant (and IntQuant), BipolarQuant, Trunc, MultiThreshold."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.quantizer import ROUNDING_MODES, MultiThreshold, Quantizer, Truncation, dequantize, round_as
from brevitas_a2q._ir.rules.call import Call, Result, Unstated
from brevitas_a2q._ir.tensor import Codes, Tensor
from brevitas_a2q._ranges import IntType, Value, table
from brevitas_a2q._ranges.annotation import MAX_ANNOTATION, aligned, broadcast_shape
from brevitas_a2q.errors import A2QError

__all__ = ["bipolar_quant", "multi_threshold", "quant", "quant_linear", "trunc"]

_MAX_CODE_BITS = 32
_MAX_ZERO_POINT = 1 << 24


def quant(call: Call) -> Result:
    """``Quant(x, scale, zero_point, bit_width)``."""
    return _quant(call, rounds_first=False)


def quant_linear(call: Call) -> Result:
    """The same, the zero-point added behind the rounding, as in ``QuantizeLinear``."""
    return _quant(call, rounds_first=True)


def _quant(call: Call, rounds_first: bool) -> Result:
    scale, zero_point, bits = _scale(call, 1), _zero_point(call, 2), _bit_width(call, 3)
    signed, narrow = bool(call.attribute("signed", 1)), bool(call.attribute("narrow", 1))
    dtype = IntType("BIPOLAR") if bits == 1 and signed else IntType.of(bits, signed)
    quantizer = Quantizer(
        scale, zero_point, dtype, narrow and dtype.name != "BIPOLAR", _mode(call), rounds_first=rounds_first
    )
    x = call.numbers()
    if x.number is not None:
        result = _constant(call, quantizer, x)
        _check_precision(call, quantizer, x.number)
        return call.done(result, op="Quant", attributes={"quantizer": quantizer})
    origin = f"data type of {call.node.name}"
    if x.element == np.float16:  # steps of it are rounded to half precision, too
        x = Tensor.named(x.name, Value.unknown(x.shape, x.origin), x.element)
    result = table.quantize(
        x, scale, zero_point, bits, signed, quantizer.narrow, quantizer.rounding_mode, origin, rounds_first=rounds_first
    )
    return _checked(call, result, quantizer, "Quant")


def bipolar_quant(call: Call) -> Result:
    """``BipolarQuant(x, scale)``: -1 or 1 by sign."""
    quantizer = Quantizer(_scale(call, 1), np.zeros((), np.float32), IntType("BIPOLAR"), by_sign=True)
    x = call.numbers()
    if x.number is not None:
        return call.done(_constant(call, quantizer, x), attributes={"quantizer": quantizer})
    return _checked(call, table.bipolar(x, quantizer.scale, f"sign by {call.node.name}"), quantizer, "BipolarQuant")


def _checked(call: Call, result: Value, quantizer: Quantizer, op: str) -> Result:
    call.check_shape(result.shape)
    if (quantizer.scale < 0).any() or result.codes is None:
        return call.island(result, reason="a negative scale, or values beyond float32")
    return call.done(result, op=op, attributes={"quantizer": quantizer})


def _constant(call: Call, quantizer: Quantizer, x: Tensor) -> Value:
    assert x.number is not None
    shape = call.check_shape(broadcast_shape(x.shape, quantizer.scale.shape, quantizer.zero_point.shape))
    if prod(shape) > max(x.number.size, MAX_ANNOTATION):
        raise call.error(f"spreads constants to shape {shape}", expected="a scale per tensor or channel")
    integers = np.broadcast_to(quantizer.integers(x.number), shape).copy()
    codes = Codes(
        aligned(quantizer.scale.astype(np.float64), len(shape)),
        integers,
        integers,
        quantizer.dtype,
        aligned(quantizer.zero_point.astype(np.int64), len(shape)),
        quantizer.narrow,
    )
    return Value.constant(np.broadcast_to(dequantize(integers, quantizer.scale), shape), codes)


def _check_precision(call: Call, quantizer: Quantizer, x: npt.NDArray[Any]) -> None:
    """Constants whose integers are others in the precision in which an executor divides them by their scale."""
    scale, zero_point = (call.constant(index, "parameter") for index in (1, 2))
    kinds = {x.dtype.name, scale.dtype.name, zero_point.dtype.name}
    if kinds == {"float32"} or quantizer.dtype.name == "BIPOLAR":
        return
    with np.errstate(all="ignore"):
        steps = x / scale
        mode, (low, high) = quantizer.rounding_mode, quantizer.code_range
        codes = round_as(mode, steps) + zero_point if quantizer.rounds_first else steps + zero_point
        integers = round_as(mode, np.clip(codes, low, high)) - zero_point
    if not np.array_equal(integers, quantizer.integers(x)):
        raise Unstated(f"constants that are other integers in {' and '.join(sorted(kinds))}")


def trunc(call: Call) -> Result:
    """``Trunc``, both versions: drop low bits of integers of a known scale.

    Version 1: ``(x, scale, zero_point, input_bits, output_bits)``. Version 2:
    ``(x, scale, zero_point, input_bits, output_scale, output_bits)``, of which the domain's version decides.
    """
    x, second = call.stream(), call.opset >= 2
    if not call.opset:
        raise Unstated("a version that the file does not name")
    if len(call.inputs) != (6 if second else 5):
        raise Unstated(f"{len(call.inputs)} inputs in version {call.opset}")
    scale, zero_point, bits = _scale(call, 1), _zero_point(call, 2), _bit_width(call, 5 if second else 4)
    output_scale = _scale(call, 4) if second else scale
    if scale.size != 1 or output_scale.size != 1 or zero_point.any() or min(scale.min(), output_scale.min()) < 0:
        raise Unstated("a scale per channel, a negative one, or a zero-point")
    if broadcast_shape(x.shape, scale.shape, zero_point.shape, output_scale.shape) != x.shape:
        raise Unstated("a scale of more axes than the tensor")
    scale, output_scale = scale.reshape(()), output_scale.reshape(())
    shift = int(np.round(np.log2(output_scale / scale))) if second else _bit_width(call, 3) - bits
    dtype, limits, narrow = None, None, bool(call.attribute("narrow", 0))
    if second:
        dtype = IntType.of(bits, bool(call.attribute("signed", 1)))
        low, high = dtype.range.lo, dtype.range.hi
        limits = (low + int(narrow and dtype.signed), high - int(narrow and not dtype.signed))
    truncation = Truncation(scale, np.exp2(np.float32(shift)), output_scale, _mode(call, "FLOOR"), limits)
    result = table.truncate(
        x,
        float(scale),
        shift,
        output_scale=float(output_scale),
        rounding=truncation.rounding_mode,
        dtype=dtype,
        narrow=narrow,
        origin=f"data type of {call.node.name}",
    )
    if result.codes is None:
        return call.island(result, reason="a truncation without limits")
    return call.done(result, attributes={"quantizer": truncation})


def multi_threshold(call: Call) -> Result:
    """``MultiThreshold(x, thresholds)``: how many thresholds are at most x, times ``out_scale``, plus ``out_bias``."""
    x, thresholds = call.stream(2), _single(call.constant(1, "threshold matrix"), "thresholds")
    axis = _channel_axis(call, len(x.shape))
    scale, bias = np.float32(call.attribute("out_scale", 1.0)), np.float32(call.attribute("out_bias", 0.0))
    found = _steps_of(scale, bias, bipolar=call.attribute("out_dtype", "") == "BIPOLAR")
    if found is None:
        return _real_thresholds(call, x, thresholds, axis)
    each, offset = found
    function = MultiThreshold(thresholds, np.asarray(scale / np.float32(each)), offset, axis, each)
    result = table.threshold(
        x,
        thresholds,
        scale=float(function.scale),
        bias=offset,
        each=each,
        axis=axis,
        dtype=_declared_type(call),
        origin=f"data type of {call.node.name}",
    )
    if result.codes is None:
        return call.island(result, reason="values beyond float32")
    return call.done(result, attributes={"quantizer": function})


def _steps_of(scale: np.float32, bias: np.float32, bipolar: bool) -> tuple[int, int] | None:
    """What a threshold adds, and the bias, in integers of one scale; None where there are none.

    The bias is a multiple of the scale, in exact arithmetic. FINN's bipolar form, scale 2 and bias -1, makes odd
    integers of half the scale.
    """
    if not 0 < scale < np.inf or not abs(bias) < np.inf:
        return None
    halves = 2 * Fraction(float(bias)) / Fraction(float(scale))
    odd = halves % 2 == 1 and (bipolar or scale == 2)
    if (halves % 2 and not odd) or abs(halves) > 1 << 24 or scale / 2 * 2 != scale:
        return None
    return (2, int(halves)) if odd else (1, int(halves) // 2)


def _channel_axis(call: Call, rank: int) -> int:
    """Axis of the channels as the executor finds it: where the layout has its C, or by the number of axes."""
    layout = call.attribute("data_layout", "") or {3: "NWC"}.get(rank, "")
    axis = layout.index("C") if "C" in layout else 1
    if axis >= rank:
        raise call.error(f"found layout {layout[:20]!r}", expected=f"a layout of {rank} axes")
    return axis


def _real_thresholds(call: Call, x: Tensor, thresholds: npt.NDArray[np.float32], axis: int) -> Result:
    """Thresholds whose scale and bias make no integers of the count."""
    count = table.threshold(x, thresholds, axis=axis)
    scale, bias = (np.asarray(call.attribute(n, v), np.float32) for n, v in (("out_scale", 1.0), ("out_bias", 0.0)))
    if not (np.isfinite(scale) and np.isfinite(bias)):
        raise Unstated("an output scale that is not finite")
    real = table.add(table.mul(count, Value.constant(scale)), Value.constant(bias))
    wrong = f"output bias of {bias} that is no multiple of its output scale" if scale > 0 else "output scale"
    reason = f"{call.node.name} has an {wrong} of {scale}"
    return call.island(replace(real, codes=None, origin=reason), reason=reason)


def _declared_type(call: Call) -> IntType | None:
    try:
        return IntType.parse(call.attribute("out_dtype", ""))
    except A2QError:
        return None


def _scale(call: Call, index: int) -> npt.NDArray[np.float32]:
    scale = _single(call.constant(index, "scale"), "a scale")
    if scale.size == 0 or not (np.isfinite(scale).all() and (scale != 0).all()):
        raise call.error(
            f"found a scale of {scale.min() if scale.size else 'no value'}",
            expected="finite scales other than 0",
            remedy="quantize again: a scale of zero usually means a layer that never saw data",
        )
    return scale


def _single(constant: npt.NDArray[Any], what: str) -> npt.NDArray[np.float32]:
    """Parameters in single precision, in which arithmetic is followed here."""
    if constant.dtype == np.float32:
        return constant
    with np.errstate(all="ignore"):
        single = constant.astype(np.float32)
        if not np.array_equal(single.astype(constant.dtype), constant):
            raise Unstated(f"{what} that single precision does not hold")
    return single


def _zero_point(call: Call, index: int) -> npt.NDArray[np.float32]:
    zero_point = call.constant(index, "zero-point").astype(np.float32)
    if (
        zero_point.size == 0
        or (zero_point != np.round(zero_point)).any()
        or (np.abs(zero_point) > _MAX_ZERO_POINT).any()
    ):
        raise Unstated("a zero-point that is not a small integer")
    return zero_point


def _bit_width(call: Call, index: int) -> int:
    bits = call.constant(index, "bit width")
    if bits.size != 1 or not float(bits.reshape(())) >= 1 or float(bits.reshape(())) % 1:
        raise call.error(
            f"found bit width {bits.reshape(-1)[:4].tolist()}", expected=f"one integer from 1 to {_MAX_CODE_BITS}"
        )
    if float(bits.reshape(())) > _MAX_CODE_BITS:
        raise Unstated(f"codes of more than {_MAX_CODE_BITS} bits")
    return int(bits.reshape(()))


def _mode(call: Call, default: str = "ROUND") -> str:
    mode = call.attribute("rounding_mode", default).upper()
    if mode not in ROUNDING_MODES:
        raise call.error(f"found rounding mode {mode!r}", expected=f"one of {', '.join(ROUNDING_MODES)}")
    return mode
