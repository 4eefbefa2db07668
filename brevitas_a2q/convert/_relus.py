"""ReLU6 before a quantizer is a ReLU: the quantizer clips as well, and FINN knows no other clipped activation.

The scale is set from what ReLU6 lets through, so its highest code stands for 6 at most, and the two compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.fx import Graph

from brevitas_a2q.convert._rewrite import VALUE_QUANTIZERS
from brevitas_a2q.convert._values import Value

__all__ = ["note_clipped_relus_", "quantize_relus_"]


def note_clipped_relus_(model: nn.Module, graph: Graph, values: Sequence[Value]) -> None:
    """Remember which modules of the model are a ReLU6 whose every reader reads a quantizer of never negative values.

    Args:
        model: With its quantizers.
        graph: As it was traced.
        values: That have a quantizer.
    """
    modules = dict(model.named_modules())
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    names = [
        str(origin.target)
        for value in values
        for origin in value.origins
        if value.unsigned and origin.op == "call_module" and type(modules[str(origin.target)]) is nn.ReLU6
    ]
    quantizers: Any = model.get_submodule(VALUE_QUANTIZERS)
    quantizers.clipped_relus = tuple(name for name in names if names.count(name) == calls.count(name))


def quantize_relus_(model: nn.Module) -> None:
    """Put an ordinary ReLU in the place of those, once scales are set."""
    quantizers: Any = getattr(model, VALUE_QUANTIZERS, None)
    for name in getattr(quantizers, "clipped_relus", ()):
        parent, _, last = name.rpartition(".")
        before = model.get_submodule(name)
        setattr(model.get_submodule(parent), last, nn.ReLU(inplace=False).train(before.training))
