"""A Brevitas model run with P-bit accumulators: the product of every layer replaced by its integer sums."""

from __future__ import annotations

from typing import Any, Final

import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from brevitas_a2q._ir.dot_product import DotProductLayer
from brevitas_a2q._trace import Trace, evaluating, plain_tensor
from brevitas_a2q.errors import ModelError
from brevitas_a2q.verify._products import Products
from brevitas_a2q.verify._simulation import Settings, Simulation, Tally
from brevitas_a2q.verify._torch_layers import IntegerLayer, arguments, spatial_padding
from brevitas_a2q.verify._torch_model import bounded, check_product, dot_product_layer

__all__ = ["simulate_model"]

_ELEMENTS: Final = 1 << 19


def simulate_model(model: nn.Module, inputs: Any, settings: Settings) -> Simulation:
    """Run a model once, in evaluation mode; see :func:`brevitas_a2q.verify._simulate.simulate`."""
    tally = Tally(settings)
    trace = Trace(model)

    def integer_product(name: str, layer: Any, original: Any, x: Any, weight: Any, bias: Any) -> Any:
        check_product(name, original)
        found, value = bounded(name, layer, x, trace), plain_tensor(x).detach()
        assert found.codes is not None
        scale = torch.as_tensor(found.codes.scale, dtype=value.dtype, device=value.device)
        whole = IntegerLayer.of(name, layer, scale, weight, bias)
        adds = dot_product_layer(whole, found)
        point = torch.as_tensor(found.codes.zero_point)
        parts = [
            _output(whole, adds, part, scale, point, tally) for part in value.split(_batch_size(layer, value, scale))
        ]
        output = parts[0] if len(parts) == 1 else torch.cat(parts)
        if layer.return_quant_tensor or layer.output_quant.is_quant_enabled:
            typed = original(x, weight, bias)  # for the scale and bit width that later layers ask of it
            return typed.set(value=output) if isinstance(typed, QuantTensor) else output
        if whole.transposed:
            layer._output_size = None  # as the method that this stands in for leaves it
        return output

    trace.calls = integer_product
    given = arguments(model, inputs)
    with evaluating(model), trace.running(*given):
        outputs = model(*given)
    return tally.result(outputs)


def _output(
    whole: IntegerLayer, adds: DotProductLayer, value: Tensor, scale: Tensor, zero_point: Tensor, tally: Tally
) -> Tensor:
    """What the layer makes of some of its inputs."""
    # On the CPU, whose float kernels add integers exactly; those of a GPU may round to TF32.
    integers = (value.float() / scale.float()).round_().cpu()
    products, shaped = _products(whole, integers)
    bias = None if whole.bias is None else whole.bias.cpu()
    point = zero_point if zero_point.numel() > 1 else zero_point.reshape(())
    sums = tally.sums(adds, products, shaped, bias, point).to(value.device)
    return _real(whole, _unshaped(whole, sums, value), scale).to(value.dtype)


def _batch_size(layer: Any, value: Tensor, scale: Tensor) -> int:
    """Images at a time: few enough for the processor's cache; all where images have scales of their own."""
    batched = isinstance(layer, nn.Linear) or value.dim() == 2 + len(layer.kernel_size)
    if not batched or scale.numel() > 1 or value.dim() < 2:
        return len(value)
    widening = max(1, layer.weight.shape[0] // layer.weight.shape[1])
    return int(max(1, _ELEMENTS // (value[0].numel() * widening)))


def _products(whole: IntegerLayer, x: Tensor) -> tuple[Products, Tensor]:
    """The layer's geometry, and its input with exactly one batch axis."""
    layer, weights = whole.layer, whole.weights.cpu()
    if isinstance(layer, nn.Linear):
        return Products(weights), x.reshape(-1, x.shape[-1])
    x = x if x.dim() == 2 + len(layer.kernel_size) else x[None]
    if layer.padding_mode != "zeros":
        raise ModelError(f"found padding_mode {layer.padding_mode!r}", where=f"layer {whole.name}", expected="'zeros'")
    if whole.transposed:
        extra = layer.compute_output_padding(x, layer._output_size)
        pads = [(pad, pad) for pad in layer.padding]
        return Products.transposed(weights, layer.groups, layer.stride, layer.dilation, pads, extra), x
    return Products(weights, layer.groups, layer.stride, layer.dilation, spatial_padding(layer, x.shape[2:])), x


def _unshaped(whole: IntegerLayer, sums: Tensor, value: Tensor) -> Tensor:
    if isinstance(whole.layer, nn.Linear):
        return sums.reshape(*value.shape[:-1], -1)
    return sums if value.dim() == sums.dim() else sums[0]


def _real(whole: IntegerLayer, sums: Tensor, scale: Tensor) -> Tensor:
    """Sums at their scale, with a bias that is not integer added after the accumulator."""
    trailing = () if isinstance(whole.layer, nn.Linear) else (1,) * len(whole.layer.kernel_size)
    output = sums * (scale * whole.weight_scale.reshape(-1, *trailing))
    return output if whole.float_bias is None else output + whole.float_bias.reshape(-1, *trailing)
