"""Empirical bias correction: what quantizing the weights adds to the mean of each output channel is taken off again.

Source: M. Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias Correction*, ICCV 2019 (arXiv
1906.04721), section 4.2 and its appendix on the empirical form. Every layer's mean output is compared with that of the
float network's layer for the same inputs, and the float output goes on, so that errors do not pile up, as in Brevitas'
``bias_correction_mode``. That one compares with the layer's own weights; A2Q+ starts from centred ones, though, and it
is their lost mean that needs the correction most.

Brevitas gives a bias to layers that have none. The networks here have batch norm behind bias-free layers, where a
correction ``c`` of the output is the same as one of ``-c`` of the running mean, ``(y + c) - m = y - (m - c)``. There it
goes, and no bias that the accumulator knows nothing of comes to be. In training mode batch norm takes off the mean of
each batch itself, so nothing is corrected twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q._trace import quantized_layers
from brevitas_a2q.convert._batch_norm import batch_norms_behind

__all__ = ["correct_bias_"]


@torch.no_grad()
def correct_bias_(model: nn.Module, float_model: nn.Module, images: Tensor, batch_size: int = 128) -> int:
    """Correct the mean of every layer's output for these images, in place.

    Args:
        model: Brevitas model whose activation scales are set; put in evaluation mode.
        float_model: The network it was made from, with layers of the same names, on the same device.
        images: Training images.  # shape: (count, channels, height, width)
        batch_size: Images per forward pass.

    Returns:
        Number of layers that were corrected; one with neither a bias nor a batch norm behind it cannot be.
    """
    model.eval()
    with _compared(model, float_model.eval()) as errors:
        for batch in images.split(batch_size):
            model(batch)
    norms, corrected = batch_norms_behind(float_model), 0
    for name, error in errors.items():
        bias = model.get_submodule(name).bias
        if isinstance(bias, Tensor):
            bias += error.mean.to(bias.dtype)
        elif name in norms:
            running_mean: Any = model.get_submodule(norms[name]).running_mean
            running_mean -= error.mean.to(running_mean.dtype)
        else:
            continue
        corrected += 1
    return corrected


@dataclass
class _MeanError:
    """Mean over batches of what a layer's output lacks."""

    total: Tensor  # shape: (channels,), float64
    count: int

    @property
    def mean(self) -> Tensor:
        """Shape (channels,)."""
        return self.total / self.count


@contextmanager
def _compared(model: nn.Module, float_model: nn.Module) -> Iterator[dict[str, _MeanError]]:
    """While active, layers give what their float counterparts give, and their own lack is noted."""
    errors: dict[str, _MeanError] = {}
    references = dict(float_model.named_modules())

    def compare(name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
        reference: Tensor = references[name](_value(inputs[0]))
        lack = (reference - _value(output)).double()
        channels = lack.dim() - 1 if isinstance(layer, nn.Linear) else 1
        rows = lack.transpose(0, channels).flatten(1)
        error = errors.setdefault(name, _MeanError(torch.zeros_like(rows[:, 0]), 0))
        error.total += rows.sum(1)
        error.count += rows.shape[1]
        return reference

    hooks = [
        layer.register_forward_hook(lambda module, x, y, name=name: compare(name, module, x, y))
        for name, layer in quantized_layers(model)
        if name in references
    ]
    try:
        yield errors
    finally:
        for hook in hooks:
            hook.remove()


def _value(x: Any) -> Tensor:
    tensor: Tensor = x.value if isinstance(x, IntQuantTensor) else x
    return tensor
