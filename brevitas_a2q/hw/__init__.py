"""FINN-style FPGA estimates of a QONNX file: no torch, no Brevitas. Names are imported on first use.

- From a file: :func:`estimate` (resources and speed), :func:`fold` (the optimal folding). Both return frozen values
  with ``to_json()``.
- Step by step: :func:`read_graph` gives a :class:`Graph` of units, :func:`apply_policy` sets its accumulators,
  :func:`estimate_graph`, :func:`fold_graph` and :func:`fold_curve` do the rest; a :class:`Folding` says how one unit is
  folded, :func:`build_design` costs any combination of them, :class:`DesignSpace` thousands at once.
- As FINN does: :func:`finn_node` for one node, :func:`finn_estimate` with :class:`FinnOptions` for a whole network,
  :func:`finn_folding` and :func:`read_foldings` for its folding file.
- Parts: :func:`find_part`, :func:`load_part`, :func:`parts`, :func:`boards`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brevitas_a2q.hw.build_options import BuildOptions as BuildOptions
    from brevitas_a2q.hw.compare import Difference as Difference
    from brevitas_a2q.hw.compare import difference as difference
    from brevitas_a2q.hw.cost.model import CostModel as CostModel
    from brevitas_a2q.hw.cost.model import synthesis_model as synthesis_model
    from brevitas_a2q.hw.cost.result import Resources as Resources
    from brevitas_a2q.hw.cost.result import UnitCost as UnitCost
    from brevitas_a2q.hw.design import Design as Design
    from brevitas_a2q.hw.design import build_design as build_design
    from brevitas_a2q.hw.devices import Part as Part
    from brevitas_a2q.hw.devices import boards as boards
    from brevitas_a2q.hw.devices import find_part as find_part
    from brevitas_a2q.hw.devices import load_part as load_part
    from brevitas_a2q.hw.devices import parts as parts
    from brevitas_a2q.hw.dse import DesignSpace as DesignSpace
    from brevitas_a2q.hw.estimation import Estimate as Estimate
    from brevitas_a2q.hw.estimation import estimate as estimate
    from brevitas_a2q.hw.estimation import estimate_graph as estimate_graph
    from brevitas_a2q.hw.finn.flow import FinnEstimate as FinnEstimate
    from brevitas_a2q.hw.finn.flow import FinnOptions as FinnOptions
    from brevitas_a2q.hw.finn.flow import finn_estimate as finn_estimate
    from brevitas_a2q.hw.finn.folding_file import finn_folding as finn_folding
    from brevitas_a2q.hw.finn.folding_reader import read_foldings as read_foldings
    from brevitas_a2q.hw.finn.node import finn_node as finn_node
    from brevitas_a2q.hw.folding_curve import fold_curve as fold_curve
    from brevitas_a2q.hw.folding_curve import setfolding_curve as setfolding_curve
    from brevitas_a2q.hw.folding_problem import FoldingPlan as FoldingPlan
    from brevitas_a2q.hw.folding_problem import FoldingProblem as FoldingProblem
    from brevitas_a2q.hw.folding_result import FoldResult as FoldResult
    from brevitas_a2q.hw.folding_result import fold as fold
    from brevitas_a2q.hw.folding_result import fold_graph as fold_graph
    from brevitas_a2q.hw.frontend import read_graph as read_graph
    from brevitas_a2q.hw.ir import Folding as Folding
    from brevitas_a2q.hw.ir import Graph as Graph
    from brevitas_a2q.hw.lut_equivalent import LutEquivalent as LutEquivalent
    from brevitas_a2q.hw.policies import POLICIES as POLICIES
    from brevitas_a2q.hw.policies import apply_policy as apply_policy
    from brevitas_a2q.hw.vivado.unit import VivadoUnit as VivadoUnit
    from brevitas_a2q.hw.vivado.unit import vivado_unit as vivado_unit

# Module below this one -> the names it defines.
_MODULES: dict[str, tuple[str, ...]] = {
    "build_options": ("BuildOptions",),
    "compare": ("Difference", "difference"),
    "finn.flow": ("FinnEstimate", "FinnOptions", "finn_estimate"),
    "finn.node": ("finn_node",),
    "cost.model": ("CostModel", "synthesis_model"),
    "cost.result": ("Resources", "UnitCost"),
    "design": ("Design", "build_design"),
    "devices": ("Part", "boards", "find_part", "load_part", "parts"),
    "dse": ("DesignSpace",),
    "estimation": ("Estimate", "estimate", "estimate_graph"),
    "folding_curve": ("fold_curve", "setfolding_curve"),
    "finn.folding_file": ("finn_folding",),
    "finn.folding_reader": ("read_foldings",),
    "folding_problem": ("FoldingPlan", "FoldingProblem"),
    "folding_result": ("FoldResult", "fold", "fold_graph"),
    "frontend": ("read_graph",),
    "ir": ("Folding", "Graph"),
    "lut_equivalent": ("LutEquivalent",),
    "policies": ("POLICIES", "apply_policy"),
    "vivado.unit": ("VivadoUnit", "vivado_unit"),
}
_NAMES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}

__all__ = [*_NAMES, "build"]


def build(*arguments: Any, **options: Any) -> Any:
    """An accelerator from a QONNX file; see :func:`brevitas_a2q.rtl.build.build`, which this calls.

    ``build(path, out, part=..., target_fps=..., clock_mhz=..., folding=None, simulate=0, synthesize=False)``
    """
    return importlib.import_module("brevitas_a2q.rtl.build").build(*arguments, **options)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'brevitas_a2q.hw' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
