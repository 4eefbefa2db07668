"""One FINN unit as Vivado maps it: ``hw.vivado_unit``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from brevitas_a2q.hw._devices import Part, find_part
from brevitas_a2q.hw._vivado.laws import LAWS, Features, kind_of
from brevitas_a2q.hw._vivado.parameters import Parameters

__all__ = ["VivadoUnit", "coefficients", "vivado_unit"]


@dataclass(frozen=True)
class VivadoUnit:
    """Counts of one unit; ``band`` is the relative error of its LUTs that 90 % of unseen units stay within."""

    lut: int
    ff: int
    bram18: int
    dsp: int
    band: float


@cache
def coefficients() -> dict[str, Any]:
    """Coefficients and errors by kind of unit; see ``benchmarks/vivado_laws.py``."""
    text = resources.files(__package__).joinpath("coefficients.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def vivado_unit(op: str, parameters: Mapping[str, Any] | str, part: str | Part = "xc7z020") -> VivadoUnit:
    """LUTs, flip-flops, block RAMs and DSP blocks that Vivado takes for one FINN unit.

    Args:
        op: FINN's op type, of any version: ``MVAU_hls``, ``StreamingFIFO_rtl``, ``StreamingFCLayer_Batch``...
        parameters: The unit's parameters by the names of :mod:`brevitas_a2q.hw._vivado.parameters`, or as text.
        part: FPGA part; the published units are of 7-series and UltraScale+ parts, which take about the same.

    Raises:
        ConfigError: A kind without a law, or a parameter that is missing.
        PartError: No such part.

    Example:
        >>> found = vivado_unit("StreamingFIFO_rtl", "W=8 D=2")
        >>> found.lut, found.bram18
        (11, 0)
    """
    kind = kind_of(op)
    given = Parameters(op, parameters).having("family", find_part(part).family)
    variant, luts, registers, (bram18, dsp) = LAWS[kind](given)
    entry = coefficients()[f"{kind}: {variant}" if variant else kind]
    count = {name: _sum(entry[name], features) for name, features in (("lut", luts), ("ff", registers))}
    return VivadoUnit(count["lut"], count["ff"], bram18, dsp, entry["band"])


def _sum(found: Mapping[str, float], features: Features) -> int:
    return max(0, round(sum(found.get(name, 0.0) * amount for name, amount in features.items())))
