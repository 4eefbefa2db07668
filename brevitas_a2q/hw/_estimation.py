"""From a QONNX file to resources and frames per second on a part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from brevitas_a2q.errors import A2QError
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._cost.result import FINN_TERM, CostTerm, Resources
from brevitas_a2q.hw._design import Design, Row, build_design
from brevitas_a2q.hw._devices import Part, find_part
from brevitas_a2q.hw._finn.lowering import lowered
from brevitas_a2q.hw._finn.rules import illegal
from brevitas_a2q.hw._folding import cheapest
from brevitas_a2q.hw._ir import Folding, Graph
from brevitas_a2q.hw._policies import AppliedPolicy, apply_policy

__all__ = ["Estimate", "ModelName", "estimate", "estimate_graph", "estimate_of", "resources_json"]

from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ, DEFAULT_PART, Target

if TYPE_CHECKING:
    from brevitas_a2q.hw._finn.flow import FinnOptions
    from brevitas_a2q.hw._finn.unit import Version

ModelName: TypeAlias = Literal["synthesis", "finn-main", "finn-dev"]
_RESOURCES = ("lut", "bram18", "uram", "dsp")


@dataclass(frozen=True)
class Estimate:
    """Resources and speed of one network, folded, on one part."""

    network: str
    part: Part
    clock_mhz: float
    model: str
    accumulator: str
    rows: tuple[Row, ...]
    max_cycles: int
    latency_cycles: int
    bottleneck: str  # name of the slowest unit
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    target: str | None = None  # of our model: whose units, rtl or finn

    @property
    def total(self) -> Resources:
        """Sum over all rows, width converters and FIFOs included."""
        return sum((row.resources for row in self.rows), Resources())

    @property
    def ff(self) -> int | None:
        """Flip-flops of the rows whose model knows them; None where none does."""
        known = [row.ff for row in self.rows if row.ff is not None]
        return sum(known) if known else None

    @property
    def lut_band(self) -> float:
        """Relative error of the LUTs that 90 % of unseen units stay within, weighted by their LUTs."""
        terms = [term for row in self.rows for term in row.terms]
        total = sum(term.lut for term in terms)
        return sum(term.lut * (term.error_band or 0.0) for term in terms) / total if total else 0.0

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.clock_mhz * 1e6 / self.max_cycles

    @property
    def latency_us(self) -> float:
        """Latency of one image in microseconds."""
        return self.latency_cycles / self.clock_mhz

    @property
    def utilization(self) -> dict[str, float]:
        """Share of the part's LUT, BRAM18, URAM and DSP in use; infinite where it has none of what is used."""
        used = {name: (getattr(self.total, name), getattr(self.part, name)) for name in _RESOURCES}
        return {name: u / have if have else (float("inf") if u else 0.0) for name, (u, have) in used.items()}

    @property
    def tightest(self) -> str:
        """The resource of which the largest share is used."""
        shares = self.utilization
        return max(shares, key=lambda name: shares[name])

    @property
    def fits(self) -> bool:
        """Whether the part has enough of everything."""
        return self.utilization[self.tightest] <= 1.0

    @property
    def foldings(self) -> dict[str, Folding]:
        """Folding of each unit, by name."""
        return {row.name: row.folding for row in self.rows if row.folding is not None}

    def to_json(self) -> dict[str, Any]:
        """The JSON object of ``brevitas-a2q estimate --json``."""
        return {
            "layers": [_row_json(row) for row in self.rows],
            "total": resources_json(self.total),
            "ff": self.ff,
            "lut_band": self.lut_band,
            "fps": self.fps,
            "max_cycles": self.max_cycles,
            "latency_cycles": self.latency_cycles,
            "fits": self.fits,
            "part": self.part.name,
            "tightest": self.tightest,
            "bottleneck": self.bottleneck,
            "clock_mhz": self.clock_mhz,
            "model": self.model,
            "target": self.target,
            "accumulator": self.accumulator,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def resources_json(resources: Resources) -> dict[str, int]:
    """LUT, BRAM18, URAM and DSP under the names that JSON uses."""
    return {name: getattr(resources, name) for name in _RESOURCES}


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "op": row.op,
        "pe": row.pe,
        "simd": row.simd,
        "multipliers": row.multipliers,
        "accumulator_bit_width": row.accumulator_bit_width,
        **resources_json(row.resources),
        "ff": row.ff,
        "cycles": row.cycles,
        "depth": row.depth,
        "lut_terms": [asdict(term) for term in row.terms],
    }


def estimate(
    path: str | Path,
    part: str | Part = DEFAULT_PART,
    target_fps: float | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    model: ModelName = "synthesis",
    accumulator: str = "trained",
    foldings: Mapping[str, Folding] | None = None,
    finn_options: FinnOptions | None = None,
    build: BuildOptions | None = None,
) -> Estimate:
    """Estimate the FPGA design of a QONNX file.

    Args:
        path: QONNX file.
        part: Part, or the name of a part or board or a YAML file; see :func:`brevitas_a2q.hw._devices.find_part`.
        target_fps: Frames per second to fold for; None for the least resources at any speed.
        clock_mhz: Clock in MHz.
        model: ``synthesis`` (ours), or FINN's own formulas: ``finn-main``, ``finn-dev``.
        accumulator: Policy, see :mod:`brevitas_a2q.hw._policies`.
        foldings: Folding of each unit by name, instead of a search.
        finn_options: FINN's build options, for its own models only.
        build: What is built: FINN branch, thresholds apart or not, which units.

    Raises:
        A2QError: For a bad file, part, policy, target or folding.
    """
    from brevitas_a2q.hw._frontend import read_graph  # imports onnx

    chosen, build = find_part(part), build or BuildOptions()
    apart = build.standalone_thresholds or (finn_options is not None and finn_options.standalone_thresholds)
    graph = read_graph(path, standalone_thresholds=apart)
    return estimate_graph(graph, chosen, target_fps, clock_mhz, model, accumulator, foldings, finn_options, build)


def estimate_graph(
    graph: Graph,
    part: Part,
    target_fps: float | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    model: ModelName = "synthesis",
    accumulator: str = "trained",
    foldings: Mapping[str, Folding] | None = None,
    finn_options: FinnOptions | None = None,
    build: BuildOptions | None = None,
) -> Estimate:
    """The same for a dataflow graph that is already in memory."""
    max_cycles = Target(part.name, target_fps, clock_mhz).max_cycles
    if model != "synthesis":
        return _as_finn_does(graph, part, target_fps, clock_mhz, model, accumulator, foldings, finn_options)
    if finn_options is not None:
        raise A2QError("found options of FINN's build", expected="model finn-main or finn-dev with them")
    build = build or BuildOptions()
    applied = apply_policy(lowered(graph, build.finn_version), accumulator)
    if foldings is None:
        design = cheapest(applied.graph, part, build.model, max_cycles, clock_mhz=clock_mhz).design
    else:
        design = build_design(applied.graph, foldings, part, build.model)
    return estimate_of(design, applied, part, clock_mhz, build)


def estimate_of(design: Design, applied: AppliedPolicy, part: Part, clock_mhz: float, build: BuildOptions) -> Estimate:
    """The estimate of a design by our model; what FINN would refuse of it is among the warnings."""
    refused = illegal(applied.graph, design.foldings, part, build)
    return Estimate(
        network=applied.graph.name,
        part=part,
        clock_mhz=clock_mhz,
        model="synthesis",
        accumulator=applied.policy,
        rows=design.rows,
        max_cycles=design.performance.max_cycles,
        latency_cycles=design.performance.latency_cycles,
        bottleneck=design.performance.bottleneck,
        warnings=(*applied.warnings, *(str(finding) for finding in refused)),
        notes=(*applied.graph.notes, *_of_constants(design)),
        target=build.target,
    )


def _of_constants(design: Design) -> tuple[str, ...]:
    """What a reader should know of layers whose weights are constants."""
    names = [row.name for row in design.rows if row.multipliers == "unrolled"]
    if not names:
        return ()
    return (
        f"{', '.join(names)}: every channel has adders of its own. Compilers that share sums between channels (adder "
        "graphs: alkaid, da4ml) take fewer LUTs where weights are dense, and hardly fewer where most are zero",
    )


def _as_finn_does(
    graph: Graph,
    part: Part,
    target_fps: float | None,
    clock_mhz: float,
    model: str,
    accumulator: str,
    foldings: Mapping[str, Folding] | None,
    options: FinnOptions | None,
) -> Estimate:
    """FINN's own report: its nodes under its names; width converters and FIFOs are not in it, latency is a sum."""
    from brevitas_a2q.hw._finn.data_types import data_type
    from brevitas_a2q.hw._finn.flow import finn_estimate

    versions: dict[str, Version] = {"finn-main": "main", "finn-dev": "dev"}
    if model not in versions:
        raise A2QError(f"found model {model!r}", expected="synthesis, finn-main or finn-dev")
    found = finn_estimate(graph, part, target_fps, clock_mhz, versions[model], accumulator, foldings, options)
    rows = tuple(
        Row(
            name=layer.name,
            op=layer.op_type,
            pe=layer.attributes.get("PE"),
            simd=layer.attributes.get("SIMD"),
            accumulator_bit_width=data_type(layer.attributes["accDataType"]).bits
            if layer.weights is not None
            else None,
            resources=node.resources,
            cycles=node.cycles,
            terms=(CostTerm(FINN_TERM, node.resources.lut, "FINN parity"),),
        )
        for layer, node in zip(found.layers, found.nodes, strict=True)
    )
    counted = ["as in FINN's report, width converters and FIFOs are not counted"]
    if options is not None and not options.input_quantizer:
        counted.append("the folding file has no quantizer of the input, which FINN dev builds: it is not counted")
    return Estimate(
        network=graph.name,
        part=part,
        clock_mhz=clock_mhz,
        model=model,
        accumulator=accumulator,
        rows=rows,
        max_cycles=found.performance.max_cycles,
        latency_cycles=found.performance.critical_path_cycles,
        bottleneck=found.performance.max_cycles_node_name,
        warnings=apply_policy(graph, accumulator).warnings,
        notes=(*graph.notes, *counted),
    )
