"""Which rule serves which operator, by domain."""

from __future__ import annotations

from typing import Final

from brevitas_a2q.ir.rules import arithmetic, movement, pooling, products, quantizers
from brevitas_a2q.ir.rules.call import Rule

__all__ = ["ONNX_DOMAINS", "QONNX_DOMAINS", "rule_for"]

ONNX_DOMAINS: Final = ("", "ai.onnx")
QONNX_DOMAINS: Final = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")

_ONNX: Final[dict[str, Rule]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), arithmetic.binary),
    **dict.fromkeys(("Relu", "LeakyRelu", "PRelu", "HardSigmoid", "Sigmoid", "Tanh", "Neg"), arithmetic.activation),
    **dict.fromkeys(("Identity", "Dropout"), arithmetic.identity),
    "Cast": arithmetic.cast,
    "BatchNormalization": arithmetic.batch_normalization,
    "Clip": arithmetic.clip,
    "Conv": products.conv,
    "ConvTranspose": products.conv_transpose,
    "MatMul": products.matmul,
    "MaxPool": pooling.max_pool,
    "GlobalMaxPool": pooling.global_max_pool,
    "AveragePool": pooling.average_pool,
    "GlobalAveragePool": pooling.global_average_pool,
    "ReduceMean": pooling.reduce_mean,
    "Reshape": movement.reshape,
    "Flatten": movement.flatten,
    "Squeeze": movement.squeeze,
    "Unsqueeze": movement.unsqueeze,
    "Transpose": movement.transpose,
    "Concat": movement.concat,
    "Pad": movement.pad,
    "Resize": movement.resize,
    "Upsample": movement.upsample,
    "DepthToSpace": movement.depth_to_space,
    **dict.fromkeys(("TopK", "ArgMax"), movement.label),
    **dict.fromkeys(("Softmax", "LogSoftmax"), movement.softmax),
}

_QONNX: Final[dict[str, Rule]] = {
    **dict.fromkeys(("Quant", "IntQuant"), quantizers.quant),
    "BipolarQuant": quantizers.bipolar_quant,
    "Trunc": quantizers.trunc,
    "MultiThreshold": quantizers.multi_threshold,
}


def rule_for(domain: str, op: str) -> Rule | None:
    """The rule for an operator of a domain; None if there is none."""
    if domain in ONNX_DOMAINS:
        return _ONNX.get(op)
    return _QONNX.get(op) if domain in QONNX_DOMAINS else None
