"""ONNX nodes with constant weights as layers of torch, and nodes for which torch has a module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from brevitas_a2q.errors import OnnxFileError

__all__ = ["Layer", "layer_of"]

_CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_PADDINGS: dict[int, Any] = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}
_MAX_POOLS: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_POOLS: dict[int, Any] = {3: nn.AdaptiveAvgPool1d, 4: nn.AdaptiveAvgPool2d, 5: nn.AdaptiveAvgPool3d}
_NORMS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_MODULES = {
    "Relu": nn.ReLU,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "HardSwish": nn.Hardswish,
    "Identity": nn.Identity,
    "Dropout": nn.Identity,
}


@dataclass(frozen=True)
class Layer:
    """A module in place of a node, and which of the node's inputs it reads."""

    module: nn.Module
    source: int = 0


def layer_of(
    op: str, attributes: dict[str, Any], values: Sequence[Tensor | None], rank: int | None, given: int, where: str
) -> Layer | None:
    """The layer that a node is, None where it is none.

    Args:
        op: Operator.
        attributes: Of the node.
        values: Constant inputs, None for others.
        rank: Dimensions of its first input, where they are known.
        given: How many inputs it has; trailing ones may be left out.
        where: For messages.
    """
    if op in ("Conv", "ConvTranspose", "Gemm") and values[1] is not None and given > 2:
        _check_bias(op, attributes, values, where)
    if op in ("Conv", "ConvTranspose") and values[1] is not None:
        return Layer(_convolution(op, attributes, values, where))
    if op == "Gemm" and values[1] is not None and values[0] is None and not attributes.get("transA"):
        return Layer(_gemm(attributes, values))
    if op == "MatMul" and sum(value is not None for value in values) == 1:
        source = 0 if values[1] is not None else 1
        weight = values[1 - source]
        if source == 0 and weight is not None and weight.dim() == 2:
            return Layer(_linear(weight.T, None), 0)
    if op == "BatchNormalization" and all(value is not None for value in values[1:5]):
        if attributes.get("training_mode"):
            raise OnnxFileError("found a batch norm in training", where=where, expected="a network for inference")
        return Layer(_batch_norm(attributes, values, _NORMS.get(rank or 4, nn.BatchNorm2d)))
    if op in _MODULES:
        return Layer(_MODULES[op]())
    if op == "MaxPool":
        return _max_pool(attributes)
    if op == "Flatten" and attributes.get("axis", 1) == 1:
        return Layer(nn.Flatten(1))
    if op == "GlobalAveragePool" and (rank or 4) in _POOLS:
        return Layer(_POOLS[rank or 4](1))
    if op == "Clip" and [None if v is None else float(v) for v in values[1:3]] == [0.0, 6.0]:
        return Layer(nn.ReLU6())
    return None


def _check_bias(op: str, attributes: dict[str, Any], values: Sequence[Tensor | None], where: str) -> None:
    """A bias is a constant with a number for each output, or one for all."""
    weight, bias = values[1], values[2]
    assert weight is not None
    if op == "Gemm":
        outputs = weight.shape[0 if attributes.get("transB") else 1]
    else:
        outputs = weight.shape[0] if op == "Conv" else weight.shape[1] * attributes.get("group", 1)
    if bias is None or (bias.numel() != 1 and (bias.numel() != outputs or bias.shape[-1] != outputs)):
        raise OnnxFileError(
            "found a bias that is " + ("no constant" if bias is None else f"of shape {tuple(bias.shape)}"),
            where=where,
            expected=f"{outputs} constants, one for each output",
        )


def _parameter(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach().clone().float().contiguous())


def _convolution(op: str, attributes: dict[str, Any], values: Sequence[Tensor | None], where: str) -> nn.Module:
    weight = values[1]
    assert weight is not None
    axes = weight.dim() - 2
    if axes not in _CONVOLUTIONS or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise OnnxFileError("found a convolution with automatic padding", where=where, expected="pads as numbers")
    pads = list(attributes.get("pads", [0] * 2 * axes))
    even = pads[:axes] == pads[axes:]
    bias = values[2] if len(values) > 2 else None
    options: dict[str, Any] = {
        "stride": tuple(attributes.get("strides", [1] * axes)),
        "dilation": tuple(attributes.get("dilations", [1] * axes)),
        "groups": attributes.get("group", 1),
        "bias": bias is not None,
        "padding": tuple(pads[:axes]) if even else 0,
    }
    kernel = tuple(weight.shape[2:])
    layer: Any
    if op == "ConvTranspose":
        if not even or "output_shape" in attributes:
            raise OnnxFileError("found uneven pads", where=where, expected="the same before and after")
        options["output_padding"] = tuple(attributes.get("output_padding", [0] * axes))
        layer = _TRANSPOSED[axes](weight.shape[0], weight.shape[1] * options["groups"], kernel, **options)
    else:
        layer = _CONVOLUTIONS[axes](weight.shape[1] * options["groups"], weight.shape[0], kernel, **options)
    layer.weight = _parameter(weight)
    if bias is not None:
        layer.bias = _parameter(bias)
    if even:
        return layer  # type: ignore[no-any-return]
    ends = [side for axis in reversed(range(axes)) for side in (pads[axis], pads[axes + axis])]
    return nn.Sequential(_PADDINGS[axes](tuple(ends), 0.0), layer)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = _parameter(weight)
    if bias is not None:
        layer.bias = _parameter(bias.reshape(-1).expand(weight.shape[0]))
    return layer


def _gemm(attributes: dict[str, Any], values: Sequence[Tensor | None]) -> nn.Linear:
    weight = values[1]
    assert weight is not None
    weight = weight if attributes.get("transB") else weight.T
    bias = values[2] if len(values) > 2 else None
    return _linear(
        weight * float(attributes.get("alpha", 1.0)),
        None if bias is None else bias * float(attributes.get("beta", 1.0)),
    )


def _batch_norm(attributes: dict[str, Any], values: Sequence[Tensor | None], kind: Any) -> nn.Module:
    gain, offset, mean, variance = (value for value in values[1:5] if value is not None)
    norm: nn.Module = kind(len(gain), eps=float(attributes.get("epsilon", 1e-5)))
    state = {"weight": gain, "bias": offset, "running_mean": mean, "running_var": variance}
    norm.load_state_dict(state, strict=False)  # all but how many batches it has seen
    return norm


def _max_pool(attributes: dict[str, Any]) -> Layer | None:
    kernel = tuple(attributes["kernel_shape"])
    axes = len(kernel)
    pads = list(attributes.get("pads", [0] * 2 * axes))
    even = pads[:axes] == pads[axes:] and all(2 * pad <= size for pad, size in zip(pads, kernel, strict=False))
    if axes not in _MAX_POOLS or not even or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    return Layer(
        _MAX_POOLS[axes](
            kernel,
            tuple(attributes.get("strides", [1] * axes)),
            tuple(pads[:axes]),
            tuple(attributes.get("dilations", [1] * axes)),
            ceil_mode=bool(attributes.get("ceil_mode", 0)),
        )
    )
