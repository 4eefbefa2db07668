"""What a float model computes, as a graph."""

from __future__ import annotations

from torch import nn
from torch.fx import Graph, Tracer

__all__ = ["trace"]


def trace(model: nn.Module) -> Graph | None:
    """The model as ``torch.fx`` sees it in evaluation mode; None for one whose code is no graph.

    Args:
        model: Any model; it is left as it was.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return Tracer().trace(model)
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, KeyError, IndexError):
        return None  # whatever the tracer meets in code that is not a graph
    finally:
        for module, training in modes:
            module.training = training
