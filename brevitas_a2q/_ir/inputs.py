"""What is known of a network's inputs and of its annotated constants, and what of that is only claimed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import onnx
from onnx import helper

from brevitas_a2q._ir.metadata import INPUT_RANGE
from brevitas_a2q._ir.network import Assumption
from brevitas_a2q._ir.onnx_file import OnnxGraph
from brevitas_a2q._ir.tensor import FLOAT32, Codes, Tensor
from brevitas_a2q._ranges import IntType, Value
from brevitas_a2q._ranges.rounding import FLOAT_MAX
from brevitas_a2q.errors import A2QError, OnnxFileError

__all__ = ["annotated_constants", "assumptions_of", "declared_range", "input_tensor", "value_type"]

_INTEGER_ELEMENTS: Final = {
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.UINT16: "UINT16",
}
_MAX_BITS: Final = 32


def value_type(text: str | None) -> tuple[IntType, float] | None:
    """An integer type and the value of one step: of ``UINT8``, ``BIPOLAR``, ``FIXED<16,6>``; None for real types.

    Example:
        >>> value_type("FIXED<16,6>"), value_type("FLOAT32")
        ((IntType(name='INT16'), 0.0009765625), None)
    """
    fixed = re.fullmatch(r"FIXED<(\d{1,2}),\s*(-?\d{1,2})>", text or "")
    if fixed:
        bits, whole = int(fixed[1]), int(fixed[2])
        return (IntType.of(bits, signed=True), 2.0 ** (whole - bits)) if 1 <= bits <= _MAX_BITS else None
    try:
        dtype = IntType.parse(text or "")
    except A2QError:  # FLOAT32, SCALEDINT and the like say nothing about integers
        return None
    return (dtype, 1.0) if dtype.bit_width <= _MAX_BITS else None


def input_tensor(
    graph: OnnxGraph, name: str, declared: tuple[float, float] | None, input_type: str | None = None
) -> Tensor:
    """What a graph's input can hold."""
    shape, element = graph.inputs[name]
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element))
    except (KeyError, TypeError):
        dtype = FLOAT32
    if input_type is not None and value_type(input_type.upper()) is None:
        raise A2QError(f"found input type {input_type!r}", expected="a QONNX data type such as UINT8 or FIXED<16,6>")
    text = _INTEGER_ELEMENTS.get(element) or (input_type.upper() if input_type else graph.data_types.get(name))
    found = value_type(text)
    if found is not None:
        kind, step = found
        lo, hi = (np.asarray(end) for end in (kind.range.lo, kind.range.hi))
        if declared is not None:
            lo = np.maximum(lo, int(np.ceil(declared[0] / step)))
            hi = np.maximum(lo, np.minimum(hi, int(np.floor(declared[1] / step))))
        codes = Codes(np.asarray(step), lo, hi, kind, np.zeros((), np.int64))
        return Tensor.named(name, Value.of_codes(shape, codes, f"data type of input {name}"), dtype)
    low, high = declared if declared is not None else (-FLOAT_MAX, FLOAT_MAX)
    scaled = re.fullmatch(r"SCALEDINT<\d{1,2}>", text or "")
    origin = f"input {name}, of {text} at a scale that the file does not say" if scaled else f"input {name}"
    value = Value.interval(shape, np.asarray(float(low)), np.asarray(float(high)), origin)
    return Tensor.named(name, value if dtype.kind == "f" else Value.unknown(shape, f"input {name}"), dtype)


def annotated_constants(graph: OnnxGraph, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Constants that are integers already, as their QONNX data type says (files that FINN has streamlined)."""
    found = {}
    for name, text in graph.data_types.items():
        kind, value = value_type(text), graph.constants.get(name)
        if kind is None or value is None or value.dtype.kind not in "fiu" or not value.size:
            continue
        dtype, step = kind
        steps = value.astype(np.float64) / step
        low, high = float(steps.min()), float(steps.max())
        if not dtype.range.lo <= low <= high <= dtype.range.hi or (np.round(steps) != steps).any():
            raise OnnxFileError(
                f"found values that are not {text}", where=f"{graph.file}, initializer {name}", expected=text
            )
        integers, zero = steps.astype(np.int64), np.zeros((), np.int64)
        found[name] = replace(tensors[name], codes=Codes(np.asarray(step), integers, integers, dtype, zero))
    return found


def claimed_range(graph: OnnxGraph) -> tuple[float, float] | None:
    """The range that the file itself gives its inputs, in its property ``a2q.input_range``."""
    text = graph.metadata.get(INPUT_RANGE)
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise OnnxFileError(
            f"found {INPUT_RANGE} = {text[:40]!r}", where=graph.file, expected="two numbers, as in '0.0,1.0'"
        ) from error
    if not -FLOAT_MAX <= low <= high <= FLOAT_MAX:
        raise OnnxFileError(f"found {INPUT_RANGE} = {text[:40]!r}", where=graph.file, expected="lowest,highest")
    return low, high


def declared_range(
    graph: OnnxGraph, input_range: tuple[float, float] | None, assume: bool
) -> tuple[float, float] | None:
    """The range of the inputs that is taken for true: the caller's, or the file's claim where the caller accepts it."""
    claim = claimed_range(graph)
    if input_range is not None:
        return input_range
    return claim if assume else None


def assumptions_of(
    graph: OnnxGraph,
    *,
    read: frozenset[str],
    input_range: tuple[float, float] | None,
    input_type: str | None,
    assume_input_range: bool,
    assume_defaults: bool,
    approximate: Sequence[str],
) -> tuple[Assumption, ...]:
    """What the ranges of a network rest on besides its own arithmetic.

    ``read`` names the tensors that are read, ``approximate`` the nodes that make constants by elementary functions.
    """
    found = []
    claim = claimed_range(graph)
    if input_range is not None:
        found.append(Assumption(f"inputs lie in [{input_range[0]:g}, {input_range[1]:g}], as the caller says", True))
    elif claim is not None:
        text = f"inputs lie in [{claim[0]:g}, {claim[1]:g}], as the file says"
        found.append(
            Assumption(text if assume_input_range else f"not used: {text}", assume_input_range, assume_input_range)
        )
    for name, (_, element) in graph.inputs.items():
        if name not in read or element in _INTEGER_ELEMENTS:
            continue
        if input_type is not None:
            found.append(Assumption(f"input {name} holds {input_type.upper()}, as the caller says", True))
        elif value_type(graph.data_types.get(name)) is not None:
            text = f"input {name} holds {graph.data_types[name]}, as the file says"
            found.append(Assumption(text, assume_input_range))
    replaceable = sorted(graph.defaults & read)
    if replaceable:
        text = f"nobody replaces the default values of inputs {_some(replaceable)}"
        found.append(Assumption(text, assume_defaults))
    if approximate:
        text = f"constants that functions make are the nearest numbers to their values: nodes {_some(approximate)}"
        found.append(Assumption(text, accepted=True))
    return tuple(found)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
