"""What a float model computes, as a graph."""

from __future__ import annotations

from torch import nn
from torch.fx import Graph, Tracer

from brevitas_a2q.convert._by_hand import call_layers_

__all__ = ["trace"]


def trace(model: nn.Module, layers: tuple[type[nn.Module], ...] = ()) -> Graph | None:
    """The model as ``torch.fx`` sees it in evaluation mode; None for one whose code is no graph.

    Args:
        model: Any model; it is left as it was.
        layers: Types of modules that the graph calls even where the model multiplies by their weights itself.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        graph = Tracer().trace(model)
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, KeyError, IndexError):
        return None  # whatever the tracer meets in code that is not a graph
    finally:
        for module, training in modes:
            module.training = training
    call_layers_(graph, dict(model.named_modules()), layers)
    return graph
