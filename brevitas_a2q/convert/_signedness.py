"""Which tensors of a float model are never negative, so that no bit goes to their sign."""

from __future__ import annotations

import operator
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Graph, Node

__all__ = ["never_negative"]

_UNSIGNED_MODULES: Final = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Softmax)
_PRESERVING_MODULES: Final = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    nn.Flatten,
    nn.PixelShuffle,
    nn.UpsamplingNearest2d,
)
_UNSIGNED_FUNCTIONS: Final = (
    F.relu,
    F.relu6,
    F.hardsigmoid,
    F.sigmoid,
    F.softmax,
    torch.relu,
    torch.sigmoid,
    torch.abs,
)
_PRESERVING_FUNCTIONS: Final = (
    torch.flatten,
    torch.cat,
    F.adaptive_avg_pool2d,
    F.avg_pool2d,
    F.dropout,
    F.max_pool2d,
    F.pixel_shuffle,
)
_ARITHMETIC: Final = (operator.add, operator.iadd, operator.mul, torch.add, torch.mul)
_UNSIGNED_METHODS: Final = ("relu", "relu_", "sigmoid", "abs")
_PRESERVING_METHODS: Final = ("contiguous", "flatten", "mean", "permute", "reshape", "squeeze", "transpose", "view")


def _is_unsigned(node: Node, modules: dict[str, nn.Module], known: dict[Node, bool]) -> bool:
    inputs = node.all_input_nodes
    if node.op == "call_module":
        module = modules[str(node.target)]
        if isinstance(module, _UNSIGNED_MODULES):
            return True
        preserving = isinstance(module, _PRESERVING_MODULES)
    elif node.op == "call_function":
        if node.target in _UNSIGNED_FUNCTIONS:
            return True
        preserving = node.target in _PRESERVING_FUNCTIONS
    elif node.op == "call_method":
        if node.target in _UNSIGNED_METHODS:
            return True
        preserving = node.target in _PRESERVING_METHODS
    else:
        return False
    if node.target in _ARITHMETIC:  # a number among the operands (x + 0.1, alpha=2) may be negative
        numbers = [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, (int, float))]
        preserving = all(number >= 0 for number in numbers)
    return preserving and bool(inputs) and all(known.get(source, False) for source in inputs)


def never_negative(graph: Graph, modules: dict[str, nn.Module]) -> frozenset[Node]:
    """Nodes whose value comes from a function that is never negative.

    Args:
        graph: Of a float model.
        modules: Its modules by name.
    """
    known: dict[Node, bool] = {}
    for node in graph.nodes:
        known[node] = _is_unsigned(node, modules, known)
    return frozenset(node for node, unsigned in known.items() if unsigned)
