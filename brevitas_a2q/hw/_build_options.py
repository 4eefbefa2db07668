"""What is to be built: which hardware, which units, and how FINN's build is set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from brevitas_a2q.hw._cost.model import CostModel, synthesis_model
from brevitas_a2q.hw._units.finn_node import Version

__all__ = ["BuildOptions", "Hardware", "Units"]

Hardware: TypeAlias = Literal["rtl", "finn"]
Units: TypeAlias = Literal["folded", "all"]


@dataclass(frozen=True)
class BuildOptions:
    """The defaults are FINN main's: thresholds inside matrix units, no units of constant weights."""

    finn_version: Version = "main"  # names and kinds of the folding file
    standalone_thresholds: bool = False  # as the graph was read
    target: Hardware = "rtl"  # whose units: our circuits as synthesis counts them, or FINN's as Vivado maps them
    units: Units = "folded"  # all: unrolled ones too, which FINN does not have

    @property
    def model(self) -> CostModel:
        """What designs are priced by, and which units a search may choose."""
        if self.target == "finn":
            from brevitas_a2q.hw._vivado.model import vivado_model

            return vivado_model(self.units == "all", self.finn_version)
        return synthesis_model(unrolled=self.units == "all")
