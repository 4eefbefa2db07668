from ._build import build as build
from ._build_options import BuildOptions as BuildOptions
from ._compare import Difference as Difference
from ._compare import difference as difference
from ._cost.model import CostModel as CostModel
from ._cost.model import synthesis_model as synthesis_model
from ._cost.result import Resources as Resources
from ._cost.result import UnitCost as UnitCost
from ._design import Design as Design
from ._design import build_design as build_design
from ._devices import Part as Part
from ._devices import boards as boards
from ._devices import find_part as find_part
from ._devices import load_part as load_part
from ._devices import parts as parts
from ._dse import DesignSpace as DesignSpace
from ._estimation import Estimate as Estimate
from ._estimation import estimate as estimate
from ._estimation import estimate_graph as estimate_graph
from ._finn.flow import FinnEstimate as FinnEstimate
from ._finn.flow import FinnOptions as FinnOptions
from ._finn.flow import finn_estimate as finn_estimate
from ._finn.folding_file import finn_folding as finn_folding
from ._finn.folding_reader import read_foldings as read_foldings
from ._finn.node import finn_node as finn_node
from ._folding_curve import fold_curve as fold_curve
from ._folding_curve import setfolding_curve as setfolding_curve
from ._folding_problem import FoldingPlan as FoldingPlan
from ._folding_problem import FoldingProblem as FoldingProblem
from ._folding_result import FoldResult as FoldResult
from ._folding_result import fold as fold
from ._folding_result import fold_graph as fold_graph
from ._frontend import read_graph as read_graph
from ._ir import Folding as Folding
from ._ir import Graph as Graph
from ._lut_equivalent import LutEquivalent as LutEquivalent
from ._policies import POLICIES as POLICIES
from ._policies import apply_policy as apply_policy
from ._vivado.unit import VivadoUnit as VivadoUnit
from ._vivado.unit import vivado_unit as vivado_unit

__all__ = [
    "POLICIES",
    "BuildOptions",
    "CostModel",
    "Design",
    "DesignSpace",
    "Difference",
    "Estimate",
    "FinnEstimate",
    "FinnOptions",
    "FoldResult",
    "Folding",
    "FoldingPlan",
    "FoldingProblem",
    "Graph",
    "LutEquivalent",
    "Part",
    "Resources",
    "UnitCost",
    "VivadoUnit",
    "apply_policy",
    "boards",
    "build",
    "build_design",
    "difference",
    "estimate",
    "estimate_graph",
    "find_part",
    "finn_estimate",
    "finn_folding",
    "finn_node",
    "fold",
    "fold_curve",
    "fold_graph",
    "load_part",
    "parts",
    "read_foldings",
    "read_graph",
    "setfolding_curve",
    "synthesis_model",
    "vivado_unit",
]
