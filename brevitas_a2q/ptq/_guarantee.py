"""The certificate of a quantized model, also where parts of it stay float."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from brevitas_a2q._ir.dot_product import DotProductLayer
from brevitas_a2q.errors import A2QError
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.verify._certificate import Certificate, certify_layers
from brevitas_a2q.verify._certify import certify

__all__ = ["guarantee"]

_PLAIN = (nn.Dropout, nn.Identity, nn.Flatten, nn.ModuleList, nn.ModuleDict, nn.Sequential)


def guarantee(model: nn.Module, example_inputs: Any) -> Certificate:
    """The certificate of a model: as :func:`brevitas_a2q.certify` gives it, else of its layers alone.

    A network with float parts (layer norms, softmax, activation functions between integers) is no integer network, but
    every layer whose input its own quantizer makes has an exact bound all the same. What is float is listed as
    uncovered.

    Args:
        model: With accumulator-aware layers that have run.
        example_inputs: Arguments to run it once.
    """
    try:
        return certify(model, example_inputs)
    except A2QError as error:
        layers = tuple(_layer(name, layer) for name, layer in accumulator_layers(model))
        names = {layer.name for layer in layers}
        others = [
            f"{name}: {type(module).__name__} stays float"
            for name, module in model.named_modules()
            if name not in names and not any(True for _ in module.children()) and _computes(name, module, names)
        ]
        return certify_layers(layers, (f"between layers: {error}", *others))


def _computes(name: str, module: nn.Module, covered: set[str]) -> bool:
    inside = any(name.startswith(f"{layer}.") for layer in covered)
    return not inside and not isinstance(module, _PLAIN) and type(module).__module__.startswith("torch.nn")


@torch.no_grad()
def _layer(name: str, layer: Any) -> DotProductLayer:
    proxy = layer.weight_quant
    inputs, codes = proxy.input_range(), proxy.integer_weight().numpy()
    weight = proxy(layer.weight)
    bits = int(weight.bit_width) if isinstance(weight, IntQuantTensor) else 8
    signed = inputs.lo < 0
    source = "its own input quantizer" if layer.input_quant.is_quant_enabled else "the quantizer before it"
    return DotProductLayer(
        name=name,
        op="MatMul" if isinstance(layer, nn.Linear) else "ConvTranspose" if proxy.layout.transposed else "Conv",
        weights=codes,
        x_lo=np.array([[inputs.lo]], np.int64),
        x_hi=np.array([[inputs.hi]], np.int64),
        input_bit_width=inputs.bit_width - int(not signed),
        input_signed=signed,
        weight_bit_width=bits,
        bias=None,
        accumulator_bit_width=proxy.accumulator_bit_width,
        tile=proxy.accumulator_tile,
        range_source=source,
        notes=("its bias is not an integer and is added after the accumulator",),
    )
