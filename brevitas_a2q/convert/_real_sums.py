"""Sums that stay real numbers, because nothing behind them reads integers.

A residual stream that only layer norms read, or attention scores plus the mask that a softmax reads: hardware computes
what follows on real numbers anyway, so integers of one scale would cost accuracy and save nothing. A mask of -1e9 and
scores of ten even have no scale in common at all.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Node

__all__ = ["real_sums"]

# What mixes its elements by real arithmetic: no threshold computes it, whatever it reads.
_REAL: Final = frozenset(
    {
        *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
        *(F.layer_norm, F.group_norm, F.instance_norm, F.normalize, F.rms_norm),
        *(nn.Softmax, nn.LogSoftmax, F.softmax, F.log_softmax, torch.softmax, torch.log_softmax),
        *("softmax", "log_softmax"),
        *(torch.matmul, operator.matmul, torch.bmm, torch.baddbmm, torch.einsum, F.scaled_dot_product_attention),
        *("matmul", "bmm", "__matmul__"),
    }
)
_CASTS: Final = ("float", "double", "half", "bfloat16", "to", "type_as")  # the same numbers in another type


def real_sums(
    nodes: Iterable[Node],
    tensors: Collection[Node],
    key: Callable[[Node], object],
    is_sum: Callable[[Node], bool],
    moves: Callable[[Node], bool],
) -> tuple[frozenset[Node], frozenset[Node]]:
    """Sums whose results reach nothing but real arithmetic, be it through moves and other such sums.

    Args:
        nodes: Of a graph, in their order.
        tensors: Nodes that are tensors made from its input; others are sizes.
        key: What a node calls: the type of its module, its function, or the name of its method.
        is_sum: Whether a node is a plain sum of two tensors.
        moves: Whether a node only moves elements.

    Returns:
        These sums; and all nodes by which they read their operands, themselves and moves that nothing else reads.
    """
    backwards = [node for node in reversed(list(nodes)) if node in tensors]
    leads = set[Node]()  # to nothing but real arithmetic
    for node in backwards:
        passes = is_sum(node) or moves(node) or (node.op == "call_method" and node.target in _CASTS)
        readers = _readers(node, tensors)
        if passes and readers and all(user in leads or _is_real(user, key) for user in readers):
            leads.add(node)
    sums = frozenset(filter(is_sum, leads))
    real = set(sums)
    for node in backwards:
        readers = _readers(node, tensors)
        if moves(node) and readers and all(user in real for user in readers):
            real.add(node)
    return sums, frozenset(real)


def _readers(node: Node, tensors: Collection[Node]) -> list[Node]:
    return [user for user in node.users if user in tensors or user.op == "output"]


def _is_real(node: Node, key: Callable[[Node], object]) -> bool:
    return node.op in ("call_module", "call_function", "call_method") and key(node) in _REAL
