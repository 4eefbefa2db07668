"""A clipped ReLU before a quantizer is a ReLU: the quantizer clips as well, and FINN knows no other clipped activation.

The scale is set from what it lets through, so the highest code stands for its upper limit at most, and the two compute
the same: ReLU6, hard tanh and clamp from zero, as modules, functions or methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Graph, Node

from brevitas_a2q.convert._values import VALUE_QUANTIZERS, Dataflow, name_of

__all__ = ["clipped_relus", "is_relu", "note_clipped_relus_", "quantize_relus_"]

_CLIPPED: Final = "clipped_relus"
_CLIPS: Final = "value_clips"  # the submodule that a converted model has those in that were functions
_RELUS: Final = (nn.ReLU, F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_")
_CLAMPS: Final = (torch.clamp, torch.clamp_, torch.clip, torch.clip_, "clamp", "clamp_", "clip", "clip_")


def is_relu(node: Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node of a graph is a plain ReLU."""
    return (type(modules[str(node.target)]) if node.op == "call_module" else node.target) in _RELUS


def clipped_relus(graph: Graph, modules: Mapping[str, nn.Module], flow: Dataflow) -> dict[Node, float]:
    """Nodes that are a ReLU with an upper limit which nothing reads but quantizers of never negative values.

    Args:
        graph: As it was traced.
        modules: Of the model, by name.
        flow: Of the graph.

    Returns:
        Each with its upper limit. A module is in it with all of its calls, or not at all.
    """
    found = dict[Node, float]()
    for node in (origin for value in flow.values if value.unsigned for origin in value.origins):
        limit = _upper_limit(node, modules)
        if limit is not None and not any(user in flow.real for user in node.users):
            found[node] = limit
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    covered = Counter(str(node.target) for node in found if node.op == "call_module")
    return {
        n: top for n, top in found.items() if n.op != "call_module" or covered[str(n.target)] == calls[str(n.target)]
    }


def _upper_limit(node: Node, modules: Mapping[str, nn.Module]) -> float | None:
    low: Any = None
    high: Any = None
    if node.op == "call_module":
        module = modules[str(node.target)]
        if type(module) in (nn.ReLU6, nn.Hardtanh):
            low, high = module.min_val, module.max_val
    elif node.target is F.relu6:
        low, high = 0, 6
    elif node.target is F.hardtanh:
        low, high = _arguments(node, min_val=-1.0, max_val=1.0)
    elif node.target in _CLAMPS:
        low, high = _arguments(node, min=None, max=None)
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    return float(high) if numbers and low == 0 < high else None


def _arguments(node: Node, **defaults: Any) -> tuple[Any, ...]:
    """Those behind the first, in the order of their names."""
    given = dict(zip(defaults, node.args[1:], strict=False)) | dict(node.kwargs)
    return tuple(given.get(name, default) for name, default in defaults.items())


def note_clipped_relus_(model: nn.Module, flow: Dataflow, found: Mapping[Node, float]) -> None:
    """Remember them by name, with the model's quantizers; what is no module becomes one.

    Args:
        model: With its quantizers; changed in place.
        flow: Of its graph.
        found: Of :func:`clipped_relus`; nodes that call no module are changed to call one.
    """
    clips, notes = nn.ModuleDict(), list[tuple[str, str, float]]()
    values = {origin: name_of(value) for value in flow.values for origin in value.origins}
    for node, limit in found.items():
        if node.op != "call_module":
            clips[node.name] = nn.Hardtanh(0.0, limit)
            node.op, node.target = "call_module", f"{_CLIPS}.{node.name}"
            node.args, node.kwargs = node.args[:1], {}
        notes.append((str(node.target), values[node], limit))
    if clips:
        setattr(model, _CLIPS, clips.train(model.training))
    setattr(model.get_submodule(VALUE_QUANTIZERS), _CLIPPED, tuple(notes))


def quantize_relus_(model: nn.Module, clips: Callable[[str, float], bool] = lambda value, limit: True) -> None:
    """Put an ordinary ReLU in the place of those, once scales are set.

    Args:
        model: With its quantizers; changed in place.
        clips: Whether a value's quantizer, by name, lets nothing through that is above a limit. Where one does not, the
            clipped ReLU stays.
    """
    notes = getattr(getattr(model, VALUE_QUANTIZERS, None), _CLIPPED, ())
    needed = {name for name, value, limit in notes if not clips(value, limit)}
    for name in {name for name, _, _ in notes} - needed:
        parent, _, last = name.rpartition(".")
        before = model.get_submodule(name)
        setattr(model.get_submodule(parent), last, nn.ReLU(inplace=False).train(before.training))
