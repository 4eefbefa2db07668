"""FINN-style FPGA estimates of a QONNX file: no torch, no Brevitas. Names are imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brevitas_a2q.hw.cost.finn.node import finn_node as finn_node
    from brevitas_a2q.hw.devices import Part as Part
    from brevitas_a2q.hw.devices import find_part as find_part
    from brevitas_a2q.hw.estimation import Estimate as Estimate
    from brevitas_a2q.hw.estimation import estimate as estimate
    from brevitas_a2q.hw.estimation import estimate_graph as estimate_graph
    from brevitas_a2q.hw.folding_result import FoldResult as FoldResult
    from brevitas_a2q.hw.folding_result import fold as fold

# Name -> module that defines it.
_NAMES: dict[str, str] = {
    "finn_node": "brevitas_a2q.hw.cost.finn.node",
    "Part": "brevitas_a2q.hw.devices",
    "find_part": "brevitas_a2q.hw.devices",
    "fold": "brevitas_a2q.hw.folding_result",
    "FoldResult": "brevitas_a2q.hw.folding_result",
    "Estimate": "brevitas_a2q.hw.estimation",
    "estimate": "brevitas_a2q.hw.estimation",
    "estimate_graph": "brevitas_a2q.hw.estimation",
}

__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'brevitas_a2q.hw' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
