"""Which layers of a float model only ever see inputs that are not negative, so that no bit goes to their sign."""

from __future__ import annotations

import operator
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import symbolic_trace

__all__ = ["unsigned_inputs"]

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
    torch.add,
    torch.mul,
    operator.add,
    operator.iadd,
    operator.mul,
    F.adaptive_avg_pool2d,
    F.avg_pool2d,
    F.dropout,
    F.max_pool2d,
)
_UNSIGNED_METHODS: Final = ("relu", "relu_", "sigmoid", "abs")
_PRESERVING_METHODS: Final = ("contiguous", "flatten", "mean", "permute", "reshape", "squeeze", "transpose", "view")


def _is_unsigned(node: Any, modules: dict[str, nn.Module], known: dict[Any, bool]) -> bool:
    inputs = node.all_input_nodes
    if node.op == "call_module":
        module = modules[node.target]
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
    # A number among the operands (x + 0.1) may be negative; only tensors are followed.
    constants = any(isinstance(argument, float) and argument < 0 for argument in node.args)
    return preserving and bool(inputs) and not constants and all(known.get(source, False) for source in inputs)


def unsigned_inputs(model: nn.Module) -> frozenset[str]:
    """Names of modules whose first input comes from a function that is never negative.

    Args:
        model: A float model; one that cannot be traced (control flow on data) gives the empty set, and its layers
            signed inputs, which are right for any data.
    """
    mode = model.training
    try:
        graph = symbolic_trace(model.eval()).graph
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, KeyError, IndexError):
        return frozenset()  # whatever the tracer meets in code that is not a graph
    finally:
        model.train(mode)
    modules, known, found = dict(model.named_modules()), dict[Any, bool](), set()
    for node in graph.nodes:
        known[node] = _is_unsigned(node, modules, known)
        if node.op == "call_module" and node.all_input_nodes and known.get(node.all_input_nodes[0], False):
            found.add(str(node.target))
    return frozenset(found)
