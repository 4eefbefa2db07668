"""Batch norms behind layers: which there are, and the float network without them."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from brevitas_a2q.convert._tracing import trace

__all__ = ["batch_norms_behind", "fold_batch_norms_"]

_BATCH_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS: Final = (nn.modules.conv._ConvNd,)


def batch_norms_behind(float_model: nn.Module) -> dict[str, str]:
    """Name of the batch norm that alone reads a module's output, by name of the module; both run once.

    Args:
        float_model: Its quantized form has the same names. One that ``torch.fx`` cannot trace gives no pair.
    """
    graph, modules = trace(float_model), dict(float_model.named_modules())
    pairs = {}
    nodes = () if graph is None else tuple(graph.nodes)
    calls = Counter(str(node.target) for node in nodes if node.op == "call_module")
    by_hand = {str(node.target).rpartition(".")[0] for node in nodes if node.op == "get_attr"}
    for node in nodes:
        if node.op == "call_module" and isinstance(modules[node.target], _BATCH_NORMS):
            source = node.all_input_nodes[0]
            names = str(source.target), str(node.target)
            once = all(calls[name] == 1 and name not in by_hand for name in names)
            if source.op == "call_module" and len(source.users) == 1 and once:
                pairs[names[0]] = names[1]
    return pairs


def fold_batch_norms_(model: nn.Module) -> int:
    """Put batch norms into the layers before them, in place; what the network computes in evaluation stays.

    Args:
        model: Float network in evaluation mode.

    Returns:
        How many were folded; those that a layer shares with others, or that have no statistics, stay.
    """
    folded = 0
    for name, norm_name in batch_norms_behind(model).items():
        layer, norm = model.get_submodule(name), model.get_submodule(norm_name)
        if not isinstance(norm, _BATCH_NORMS) or norm.running_var is None:
            continue
        fused: Any
        if isinstance(layer, _CONVOLUTIONS):
            fused = fuse_conv_bn_eval(layer, norm, transpose=layer.transposed)
        elif isinstance(layer, nn.Linear):
            fused = fuse_linear_bn_eval(layer, norm)
        else:
            continue
        _replace(model, name, fused)
        _replace(model, norm_name, nn.Identity())
        folded += 1
    return folded


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
