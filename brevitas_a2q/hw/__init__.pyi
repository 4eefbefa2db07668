from ._build import build as build
from ._build_options import BuildOptions as BuildOptions
from ._devices import parts as parts
from ._estimation import Estimate as Estimate
from ._estimation import estimate as estimate
from ._finn.flow import FinnOptions as FinnOptions
from ._finn.node import finn_node as finn_node
from ._folding_curve import fold_curve as fold_curve
from ._folding_result import FoldResult as FoldResult
from ._folding_result import fold as fold
from ._ir import Folding as Folding
from ._target import Target as Target
from ._vivado.unit import vivado_unit as vivado_unit

__all__ = [
    "BuildOptions",
    "Estimate",
    "FinnOptions",
    "FoldResult",
    "Folding",
    "Target",
    "build",
    "estimate",
    "finn_node",
    "fold",
    "fold_curve",
    "parts",
    "vivado_unit",
]
