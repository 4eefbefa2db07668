"""Which rule serves which operator, by domain; and the versions and attributes that the rules state.

An operator, a version or an attribute that is not here is unknown: what the node makes is unknown too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from brevitas_a2q._ir.linear import FUSED
from brevitas_a2q._ir.rules import arithmetic, functions, movement, pooling, products, quantizers, resampling
from brevitas_a2q._ir.rules.call import Rule

__all__ = ["ONNX_DOMAINS", "OPSETS", "QONNX_DOMAINS", "QONNX_VERSIONS", "Entry", "entry_for", "stated_operators"]

ONNX_DOMAINS: Final = ("", "ai.onnx")
QONNX_DOMAINS: Final = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
OPSETS: Final = range(7, 25)
"""Versions of ONNX' operators that the rules state; version 6 broadcasts otherwise."""
QONNX_VERSIONS: Final = range(1, 3)


@dataclass(frozen=True)
class Entry:
    """A rule, and the attributes that it states."""

    rule: Rule
    attributes: frozenset[str]


def _entries(rule: Rule, operators: str, attributes: str = "") -> dict[str, Entry]:
    return dict.fromkeys(operators.split(), Entry(rule, frozenset(attributes.split())))


_WINDOW: Final = "auto_pad dilations kernel_shape pads strides"
_RESIZE: Final = (
    "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value "
    "keep_aspect_ratio_policy mode nearest_mode"
)

_ONNX: Final[dict[str, Entry]] = {
    **_entries(arithmetic.binary, "Add Sub Mul Div"),
    **_entries(arithmetic.extremum, "Max Min"),
    **_entries(arithmetic.where, "Where"),
    **_entries(arithmetic.power, "Pow"),
    **_entries(arithmetic.batch_normalization, "BatchNormalization", "epsilon momentum spatial training_mode"),
    **_entries(functions.activation, "Relu PRelu Sigmoid Tanh Neg"),
    **_entries(functions.activation, "LeakyRelu", "alpha"),
    **_entries(functions.activation, "HardSigmoid", "alpha beta"),
    **_entries(functions.absolute, "Abs"),
    **_entries(functions.function, "Ceil Erf Exp Floor HardSwish Log Mish Round Sign Softplus Softsign Sqrt"),
    **_entries(functions.function, "Gelu", "approximate"),
    **_entries(functions.elu, "Elu Swish", "alpha"),
    **_entries(functions.elu, "Selu", "alpha gamma"),
    **_entries(functions.identity, "Identity"),
    **_entries(functions.dropout, "Dropout", "ratio seed"),
    **_entries(functions.cast, "Cast", "to saturate round_mode"),
    **_entries(functions.clip, "Clip", "min max"),
    **_entries(functions.softmax, "Softmax LogSoftmax", "axis"),
    **_entries(products.conv, "Conv", f"{_WINDOW} group"),
    **_entries(products.conv_transpose, "ConvTranspose", f"{_WINDOW} group output_padding output_shape"),
    **_entries(products.matmul, "MatMul"),
    **_entries(pooling.max_pool, "MaxPool", f"{_WINDOW} ceil_mode storage_order"),
    **_entries(pooling.global_max_pool, "GlobalMaxPool"),
    **_entries(pooling.average_pool, "AveragePool", f"{_WINDOW} ceil_mode count_include_pad"),
    **_entries(pooling.global_average_pool, "GlobalAveragePool"),
    **_entries(pooling.reduction, "ReduceMean ReduceSum ReduceMax ReduceMin", "axes keepdims noop_with_empty_axes"),
    **_entries(movement.reshape, "Reshape", "allowzero"),
    **_entries(movement.flatten, "Flatten", "axis"),
    **_entries(movement.squeeze, "Squeeze", "axes"),
    **_entries(movement.unsqueeze, "Unsqueeze", "axes"),
    **_entries(movement.transpose, "Transpose", "perm"),
    **_entries(movement.concat, "Concat", "axis"),
    **_entries(movement.pad, "Pad", "mode pads value"),
    **_entries(movement.slice_, "Slice", "starts ends axes"),
    **_entries(movement.split, "Split", "axis split num_outputs"),
    **_entries(movement.gather, "Gather", "axis"),
    **_entries(movement.expand, "Expand"),
    **_entries(movement.tile, "Tile"),
    **_entries(movement.label, "TopK", "axis k largest sorted"),
    **_entries(movement.label, "ArgMax ArgMin", "axis keepdims select_last_index"),
    **_entries(resampling.resize, "Resize", _RESIZE),
    **_entries(resampling.upsample, "Upsample", "mode scales"),
    **_entries(resampling.depth_to_space, "DepthToSpace", "blocksize mode"),
    **_entries(resampling.space_to_depth, "SpaceToDepth", "blocksize mode"),
}

_QONNX: Final[dict[str, Entry]] = {
    **_entries(quantizers.quant, "Quant IntQuant", "signed narrow rounding_mode"),
    **_entries(quantizers.bipolar_quant, "BipolarQuant"),
    **_entries(quantizers.trunc, "Trunc", "signed narrow rounding_mode"),
    **_entries(quantizers.multi_threshold, "MultiThreshold", "out_dtype out_scale out_bias data_layout"),
}
_FUSED: Final = _entries(quantizers.quant_linear, "Quant", "signed narrow rounding_mode")


def entry_for(domain: str, op: str) -> Entry | None:
    """The rule for an operator of a domain; None if there is none."""
    if domain in ONNX_DOMAINS:
        return _ONNX.get(op)
    if domain == FUSED:
        return _FUSED.get(op)
    return _QONNX.get(op) if domain in QONNX_DOMAINS else None


def stated_operators() -> tuple[tuple[str, str], ...]:
    """Every operator that has a rule, as (domain, operator)."""
    return (*(("", op) for op in sorted(_ONNX)), *((QONNX_DOMAINS[0], op) for op in sorted(_QONNX)))
