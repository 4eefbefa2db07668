"""Empirical bias correction: what quantizing the weights adds to the mean of each output channel is taken off again.

Source: M. Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias Correction*, ICCV 2019 (arXiv
1906.04721), section 4.2 and its appendix on the empirical form, by Brevitas' ``bias_correction_mode``: every layer's
mean output with integer weights is compared with that of its float weights for the same inputs.

Brevitas puts the correction into the layer's bias, and gives a bias to layers that have none. The networks here have
batch norm behind bias-free layers, where a correction ``c`` of the output is the same as one of ``-c`` of the running
mean, ``(y + c) - m = y - (m - c)``. There it goes, and no bias that the accumulator knows nothing of comes to be.
In training mode batch norm takes off the mean of each batch itself, so nothing is corrected twice.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from brevitas_a2q.convert.tracing import trace

with warnings.catch_warnings():
    # On import Brevitas' graph tools warn of an optional package and of a part of themselves that is to go.
    warnings.simplefilter("ignore")
    from brevitas.graph.calibrate import bias_correction_mode

__all__ = ["batch_norms_behind", "correct_bias_"]

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def batch_norms_behind(float_model: nn.Module) -> dict[str, str]:
    """Name of the batch norm that alone reads a module's output, by name of the module.

    Args:
        float_model: Its quantized form has the same names. One that ``torch.fx`` cannot trace gives no pair.
    """
    graph, modules = trace(float_model), dict(float_model.named_modules())
    pairs = {}
    for node in () if graph is None else graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], _BATCH_NORMS):
            source = node.all_input_nodes[0]
            if source.op == "call_module" and len(source.users) == 1:
                pairs[str(source.target)] = str(node.target)
    return pairs


@torch.no_grad()
def correct_bias_(model: nn.Module, images: Tensor, batch_norms: dict[str, str], batch_size: int = 100) -> int:
    """Correct the mean of every layer's output for these images, in place.

    Args:
        model: Brevitas model whose activation scales are set; put in evaluation mode.
        images: Training images.  # shape: (count, channels, height, width)
        batch_norms: From :func:`batch_norms_behind`, of the float form.
        batch_size: Images per forward pass; a rest that does not fill a batch is left out, for batches count alike.

    Returns:
        Number of layers that were corrected; one with neither a bias nor a batch norm behind it cannot be.
    """
    model.eval()
    size = min(batch_size, len(images))
    mode = bias_correction_mode(model, skip_if_no_bias=True)
    with mode:
        for batch in images[: len(images) // size * size].split(size):
            model(batch)
    corrected = 0
    for name, total in mode.bias_correction.correction_map.items():
        layer, norm = model.get_submodule(name), batch_norms.get(name)
        if getattr(layer, "bias", None) is None and norm is not None:
            running_mean: Tensor = model.get_submodule(norm).running_mean  # type: ignore[assignment]
            running_mean -= total / mode.bias_correction.iterations[name]
        corrected += layer.bias is not None or norm is not None
    return corrected
