"""Which tensors of a float model are never negative, so that no bit goes to their sign.

Asked of the table of ranges (:mod:`brevitas_a2q._ranges`), as the trace of a running model asks it: each operation is
run by itself on a small tensor, of which no more is known than whether it can be negative.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from brevitas_a2q._ranges import Value
from brevitas_a2q._trace import value_of_call

__all__ = ["never_negative"]

# An operation is tried on these in turn: images, features, signals, volumes.
_SHAPES: Final = ((1, 16, 8, 8), (1, 16), (1, 16, 8), (1, 16, 8, 8, 8), (1, 16, 32, 32))
_CALLS: Final = ("call_module", "call_function", "call_method")
_LARGE: Final = 2.0**60  # of a value; sums of such are finite


def never_negative(
    graph: Graph, modules: dict[str, nn.Module], tensors: Collection[Node], moves: Callable[[Node], bool]
) -> frozenset[Node]:
    """Nodes whose value is never negative, whatever the model's input.

    Args:
        graph: Of a float model.
        modules: Its modules by name.
        tensors: Nodes that are tensors made from its input; others are sizes.
        moves: Whether a node only moves elements; asked where an operation runs on none of the small tensors, such as
            one that flattens to a size of its own.
    """
    known: dict[Node, bool] = {}
    for node in graph.nodes:
        known[node] = node.op in _CALLS and _is_unsigned(node, modules, known, tensors, moves)
    return frozenset(node for node, unsigned in known.items() if unsigned)


def _is_unsigned(
    node: Node,
    modules: dict[str, nn.Module],
    known: dict[Node, bool],
    tensors: Collection[Node],
    moves: Callable[[Node], bool],
) -> bool:
    sources = [source for source in node.all_input_nodes if source in tensors]
    for shape in _SHAPES:
        operands: dict[Node, Any] = dict.fromkeys(node.all_input_nodes, 1)  # sizes: of a batch, most often
        operands.update({source: torch.zeros(shape) for source in sources})
        # Parameters and buffers may turn negative; one number broadcasts to whatever shape they have.
        operands.update({source: torch.zeros(()) for source in node.all_input_nodes if source.op == "get_attr"})
        read = {source: tensor for source, tensor in operands.items() if isinstance(tensor, torch.Tensor)}
        values = {tensor: _value(tuple(tensor.shape), known[source]) for source, tensor in read.items()}
        call = _Call(node, modules, operands)
        try:
            value = value_of_call(call, values)
        except Exception:  # an operation may raise anything on a tensor that is not of its shape
            continue
        return value is not None and value.never_negative
    return moves(node) and bool(sources) and all(known[source] for source in sources)


def _value(shape: tuple[int, ...], unsigned: bool) -> Value:
    largest = np.asarray(_LARGE)
    return Value.interval(shape, np.zeros(()) if unsigned else -largest, largest)


class _Call:
    """A node of a graph as a function without arguments."""

    def __init__(self, node: Node, modules: dict[str, nn.Module], operands: dict[Node, Any]) -> None:
        self.node, self.modules = node, modules
        self.args: Any
        self.kwargs: Any
        self.args, self.kwargs = (map_arg(part, operands.__getitem__) for part in (node.args, node.kwargs))

    def __call__(self) -> Any:
        target: Any = self.node.target
        if self.node.op == "call_module":
            module, training = self.modules[str(target)], self.modules[str(target)].training
            try:
                return module.eval()(*self.args, **self.kwargs)
            finally:
                module.train(training)
        if self.node.op == "call_method":
            return getattr(self.args[0], target)(*self.args[1:], **self.kwargs)
        return target(*self.args, **self.kwargs)
