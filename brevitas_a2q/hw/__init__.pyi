from ._build import build as build
from ._build_options import BuildOptions as BuildOptions
from ._cost.model import synthesis_model as synthesis_model
from ._cost.result import Resources as Resources
from ._devices import Part as Part
from ._devices import find_part as find_part
from ._devices import parts as parts
from ._estimation import Estimate as Estimate
from ._estimation import estimate as estimate
from ._finn.flow import FinnOptions as FinnOptions
from ._finn.flow import finn_estimate as finn_estimate
from ._finn.folding_reader import read_foldings as read_foldings
from ._finn.node import finn_node as finn_node
from ._folding_curve import fold_curve as fold_curve
from ._folding_curve import setfolding_curve as setfolding_curve
from ._folding_result import FoldResult as FoldResult
from ._folding_result import fold as fold
from ._frontend import read_graph as read_graph
from ._ir import Folding as Folding
from ._policies import POLICIES as POLICIES
from ._target import Target as Target
from ._vivado.unit import vivado_unit as vivado_unit

__all__ = [
    "POLICIES",
    "BuildOptions",
    "Estimate",
    "FinnOptions",
    "FoldResult",
    "Folding",
    "Part",
    "Resources",
    "Target",
    "build",
    "estimate",
    "find_part",
    "finn_estimate",
    "finn_node",
    "fold",
    "fold_curve",
    "parts",
    "read_foldings",
    "read_graph",
    "setfolding_curve",
    "synthesis_model",
    "vivado_unit",
]
