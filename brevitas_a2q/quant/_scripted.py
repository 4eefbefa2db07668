"""Brevitas' modules as scripted ones (``BREVITAS_JIT=1``), which have lost their Python types."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["kind_of", "scripted_forward"]


def kind_of(module: nn.Module) -> str:
    """Name of the class that a module is of, or was before it was scripted."""
    return str(getattr(module, "original_name", type(module).__name__))


def scripted_forward(module: nn.Module) -> Any:
    """What a scripted module computes, whose Python class overrides it; None for other modules."""
    scripted = module.__dict__.get("_actual_script_module")
    return None if scripted is None else scripted.forward
