"""Drive every layer of a model by its witness: the input that makes its worst channel's sum as large as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from brevitas_a2q._brevitas import QuantWeightBiasInputOutputLayer
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._layer_certificate import LayerCertificate
from brevitas_a2q.verify._sums import End

__all__ = ["driven_by_witness", "tiled_patch"]


@contextmanager
def driven_by_witness(model: nn.Module, claim: Certificate, end: End) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """While active, linear and convolutional layers compute on their witnesses instead of what reaches them.

    Every layer at once, in one pass: each one's input is replaced, and what it computes goes on to the next quantizer.
    Left as they are: transposed convolutions, layers that quantize or pad their input themselves, and layers whose
    input has several scales.

    Args:
        model: In evaluation mode.
        claim: Its certificate.
        end: Which end of the sums.

    Yields:
        The inputs that layers were given, by the layer's name; filled as they run.
    """
    given: dict[str, npt.NDArray[np.float32]] = {}

    def replace(name: str, layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x = inputs[0]
        if not isinstance(x, IntQuantTensor) or x.scale.numel() != 1:
            return None
        codes = _input_codes(claim.layers[name], layer, tuple(x.value.shape), end)
        value = torch.from_numpy(codes).to(x.value.dtype) * x.scale
        given[name] = value.numpy()
        return (x.set(value=value), *inputs[1:])

    certified = {layer.name for layer in claim.layers}
    hooks = [
        module.register_forward_pre_hook(lambda m, x, name=name: replace(name, m, x))
        for name, module in model.named_modules()
        if name in certified and _can_be_driven(module)
    ]
    try:
        yield given
    finally:
        for hook in hooks:
            hook.remove()


def tiled_patch(
    patch: IntArray,
    image: tuple[int, ...],
    strides: tuple[int, ...],
    padding: tuple[int, ...],
    dilations: tuple[int, ...],
) -> IntArray:
    """An image that repeats a patch so that some window of a convolution lies exactly on it.

    Args:
        patch: What one window should see, shape (channels, *kernel).
        image: Its spatial shape.
        strides: Of the windows, one per spatial dimension.
        padding: In front of the image.
        dilations: Between the taps of a window.

    Returns:
        shape (channels, *image).

    Example:
        >>> tiled_patch(np.array([[1, 2, 3]]), (5,), (2,), (1,), (1,)).tolist()
        [[3, 1, 2, 3, 1]]
    """
    index = []
    for size, side, stride, pad, dilation in zip(patch.shape[1:], image, strides, padding, dilations, strict=True):
        start = -(-pad // stride) * stride - pad  # of the first window that begins inside the image
        index.append((np.arange(side) - start) // dilation % size)
    tiled: IntArray = patch[np.ix_(np.arange(patch.shape[0]), *index)]
    return tiled


def _can_be_driven(module: nn.Module) -> bool:
    if not isinstance(module, QuantWeightBiasInputOutputLayer) or module.input_quant.is_quant_enabled:
        return False
    plain_padding = getattr(module, "padding_type", "standard") == "standard"
    plain_padding &= not isinstance(getattr(module, "padding", None), str)
    is_convolution = isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and module.padding_mode == "zeros"
    return isinstance(module, nn.Linear) or (is_convolution and plain_padding)


def _input_codes(certificate: LayerCertificate, layer: Any, shape: tuple[int, ...], end: End) -> IntArray:
    groups = getattr(layer, "groups", 1)
    ends = np.array(getattr(certificate.outer or certificate.sums, end)).reshape(groups, -1)
    worst = (ends.argmax(axis=1) if end == "upper" else ends.argmin(axis=1)) + np.arange(groups) * ends.shape[1]
    rows = np.concatenate([certificate.witness(int(channel), end) for channel in worst])
    if not isinstance(layer, nn.Linear):
        image = shape[-len(layer.kernel_size) :]
        patch = rows.reshape(-1, *layer.kernel_size)
        rows = tiled_patch(patch, image, layer.stride, layer.padding, layer.dilation)
    codes: IntArray = np.broadcast_to(rows, shape).copy()
    return codes
