"""The integer dot products of a Brevitas model: weights from its quantizers, input ranges from one traced pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.nn.quant_rnn import QuantRecurrentStackBase
from torch import Tensor, nn

from brevitas_a2q.errors import ModelError
from brevitas_a2q.ir.dot_product import DotProductLayer, IntArray
from brevitas_a2q.ir.rows import conv_rows, conv_transpose_rows
from brevitas_a2q.verify.code_ranges import CodeRange, CodeRanges, unpack
from brevitas_a2q.verify.torch_layers import IntegerLayer, evaluating, integers, intercepted, quantized_layers, run

__all__ = ["bounded", "dot_product_layer", "layers_of", "uncovered_layers"]

_FLOAT_LAYERS = (nn.Linear, nn.Bilinear, nn.RNNBase, nn.MultiheadAttention, nn.modules.conv._ConvNd)
_ATTENTION = (qnn.QuantMultiheadAttention, qnn.QuantScaledDotProductAttention)


def layers_of(model: nn.Module, example_inputs: Any) -> tuple[DotProductLayer, ...]:
    """Every quantized linear or convolutional layer of a model as integers, in the order in which they run.

    Works on layers of any integer weight quantizer, Brevitas' own included. A layer that runs more than once gets the
    union of its input ranges.

    Args:
        model: Any PyTorch model with Brevitas layers; it is left as it was.
        example_inputs: One tensor or array, or a tuple of positional arguments; any values do, for ranges come from
            the quantizers' types.

    Raises:
        ModelError: Names the layer whose input, weights or scales are not integers that can be bounded.
    """
    if not any(True for _ in quantized_layers(model)):
        raise ModelError(
            "found no quantized layer",
            where=f"model {type(model).__name__}",
            expected="layers of brevitas.nn with a weight quantizer",
            remedy="build it from brevitas.nn, or convert it with brevitas_a2q.constrain_",
        )
    found: dict[str, DotProductLayer] = {}
    ranges = CodeRanges(model)

    def record(name: str, layer: Any, original: Any, x: Any, weight: Any, bias: Any) -> Any:
        codes = bounded(name, layer, x, ranges)
        whole = IntegerLayer.of(name, layer, codes.scale, weight, bias)
        _check_codes(name, codes, unpack(x))
        seen = dot_product_layer(whole, codes)
        found[name] = _union(found[name], seen) if name in found else seen
        return original(x, weight, bias)

    with evaluating(model), intercepted(model, record), ranges.tracing():
        run(model, example_inputs)
    return tuple(found.values())


def uncovered_layers(model: nn.Module, covered: Sequence[DotProductLayer]) -> tuple[str, ...]:
    """What a certificate of these layers says nothing about, each as ``"name: reason"``."""
    names = {layer.name for layer in covered}
    quantized = dict(quantized_layers(model))
    found = [f"{name}: did not run on the example" for name in quantized if name not in names]
    for name, module in model.named_modules():
        if module in quantized.values():
            continue
        if isinstance(module, _FLOAT_LAYERS):
            found.append(f"{name}: float")
        elif isinstance(module, _ATTENTION):
            found.append(f"{name or type(module).__name__}: products of two activations")
        elif isinstance(module, QuantRecurrentStackBase):
            found.append(f"{name or type(module).__name__}: recurrent")
    return tuple(found)


def dot_product_layer(whole: IntegerLayer, codes: CodeRange) -> DotProductLayer:
    """Rows of products of one layer, for inputs of this range."""
    layer = whole.layer
    weights = _array(whole.weights)
    bias = None if whole.bias is None else _array(whole.bias)
    if whole.transposed:
        rows = conv_transpose_rows(weights, layer.groups, layer.stride, layer.dilation)
        bias = None if bias is None else np.repeat(bias, rows.shape[0] // layer.out_channels)
    else:
        rows = conv_rows(weights)
    return DotProductLayer(
        name=whole.name,
        op="ConvTranspose" if whole.transposed else "MatMul" if isinstance(layer, nn.Linear) else "Conv",
        weights=rows,
        x_lo=np.array([[codes.values.lo]], np.int64),
        x_hi=np.array([[codes.values.hi]], np.int64),
        input_bit_width=codes.bit_width,
        input_signed=codes.signed,
        weight_bit_width=whole.weight_bit_width,
        bias=bias,
        accumulator_bit_width=whole.accumulator_bit_width,
        tile=whole.tile,
        range_source=codes.source,
        notes=() if whole.float_bias is None else ("its bias is not an integer and is added after the accumulator",),
    )


def bounded(name: str, layer: Any, x: Any, ranges: CodeRanges) -> CodeRange:
    """The integer range of a layer's input, whose products share a scale in every output.

    Raises:
        ModelError: Names the layer whose input no quantizer bounds, or whose scales differ within a sum.
    """
    codes, value = ranges.of(x), unpack(x)
    if codes is None:
        raise ModelError(
            "found an input whose integers cannot be bounded",
            where=f"layer {name}",
            expected="the output of a quantizer, or of one followed by pooling, ReLU, reshaping, concatenation or sum",
            remedy="set input_quant= on the layer, or put a brevitas.nn.QuantIdentity before it",
        )
    shape = (*[1] * (value.dim() - codes.scale.dim()), *codes.scale.shape)
    if isinstance(layer, nn.Linear):
        summed = [value.dim() - 1]
    else:
        depthwise = layer.groups == layer.in_channels
        summed = list(range(value.dim() - len(layer.kernel_size) - (not depthwise), value.dim()))
    if codes.scale.numel() > 1 and any(shape[axis] > 1 for axis in summed):
        raise ModelError(
            f"found input scales of shape {tuple(codes.scale.shape)}",
            where=f"layer {name}",
            expected="one scale for all inputs of an output",
            remedy="quantize its input per tensor",
        )
    return codes


def _check_codes(name: str, codes: CodeRange, value: Tensor) -> None:
    """What the example brought lies in the range that was traced."""
    seen = integers(value, codes.scale, f"layer {name}, input")
    low, high = int(seen.min()), int(seen.max())
    if low not in codes.values or high not in codes.values:
        raise ModelError(
            f"found inputs in [{low}, {high}]",
            where=f"layer {name}",
            expected=f"[{codes.values.lo}, {codes.values.hi}] by the {codes.source}",
            remedy="put a QuantIdentity before the layer",
        )


def _union(first: DotProductLayer, second: DotProductLayer) -> DotProductLayer:
    """One layer that ran twice: the same integers, inputs of either range."""
    same_bias = (first.bias is None) == (second.bias is None) and (
        first.bias is None or np.array_equal(first.bias, second.bias)  # type: ignore[arg-type]
    )
    if not (np.array_equal(first.weights, second.weights) and same_bias):
        raise ModelError(
            "its integer weights or bias differ from one call to the next",
            where=f"layer {first.name}",
            expected="the same integers in every call",
            remedy="give the layer the same input quantizer wherever it is called, or use two layers",
        )
    wider = first if first.input_bit_width >= second.input_bit_width else second
    sources = dict.fromkeys((first.range_source, second.range_source))
    return replace(
        wider,
        x_lo=np.minimum(first.x_lo, second.x_lo),
        x_hi=np.maximum(first.x_hi, second.x_hi),
        input_signed=first.input_signed or second.input_signed,
        range_source=" and ".join(sources),
    )


def _array(tensor: Tensor) -> IntArray:
    return np.asarray(tensor.to("cpu", torch.int64).numpy(), np.int64)
