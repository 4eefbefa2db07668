"""What FINN asks of a folded node: rules FOLD-01 to FOLD-10, each with its source.

A folding that breaks one is refused by FINN, if only hours into its build. The source of a rule is a file below FINN's
``src/finn``; most are asserts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from brevitas_a2q.errors import A2QError, ConfigError
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._finn.flow import FinnOptions, specialized
from brevitas_a2q.hw._finn.folding_file import finn_folding, in_hls
from brevitas_a2q.hw._finn.network import FinnLayer
from brevitas_a2q.hw._finn.unit import Version
from brevitas_a2q.hw._ir import Folding, Graph
from brevitas_a2q.hw._units.base import WIDEST_HLS_WORD

__all__ = ["FOLDING_RULES", "Finding", "findings_of", "illegal"]

_MOST_HLS_WORDS: Final = 1024


@dataclass(frozen=True)
class Finding:
    """One thing that FINN would refuse, and how to mend it."""

    rule: str
    node: str
    op: str
    found: str
    mend: str

    def __str__(self) -> str:
        return f"FINN refuses {self.node}: {self.found} ({self.rule}); {self.mend}"


@dataclass(frozen=True, eq=False)
class Folded:
    """A node with the attributes of its folding, and what is around it."""

    layer: FinnLayer
    part: Part
    version: Version
    readers: tuple[FinnLayer, ...]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        return self.layer.attributes.get(name, default)

    @property
    def op(self) -> str:
        """FINN's name of its kind."""
        return self.layer.op_type

    @property
    def is_matrix(self) -> bool:
        return self.op.startswith(("MVAU", "VVAU"))


Rule: TypeAlias = Callable[[Folded], Iterator[tuple[str, str]]]  # what was found, how to mend it


def multipliers_exist(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-01: RTL has no multipliers in LUTs, nothing is unrolled (``rtl/matrixvectoractivation_rtl.py``)."""
    kind = node.get("resType", "auto")
    if node.is_matrix and node.op.endswith("_rtl") and kind == "lut":
        yield "resType lut of an RTL unit", "use resType dsp, or preferred_impl_style hls"
    if node.is_matrix and kind == "unrolled":
        yield "a unit of constant weights", "fold it (fold without --units all)"


def ultra_ram_is_writable(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-02: before Versal, weights in UltraRAM are written at run time (``matrixvectoractivation.py``)."""
    if node.is_matrix and node.get("ram_style") == "ultra":
        if not node.part.uram:
            yield f"UltraRAM on {node.part.name}, which has none", "use ram_style block or distributed"
        elif node.part.family != "Versal" and not node.get("runtime_writeable_weights"):
            yield "initialised UltraRAM", "set runtime_writeable_weights 1, or use ram_style block or distributed"


def words_are_narrow(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-03: a word of an HLS unit, the weights' too, has at most 8191 bits (``util/basic.py``)."""
    if not node.op.endswith("_hls"):
        return
    try:
        unit = node.layer.unit(node.version)
    except A2QError:
        return  # FOLD-10
    widths = [unit.input_width(port) for port in range(len(node.layer.inputs))]
    widest = max(*widths, unit.output_width, unit.weight_width or 0)
    if widest > WIDEST_HLS_WORD:
        mend = "lower PE or SIMD" if node.get("PE") or node.get("SIMD") else "use fewer channels"
        yield f"a word of {widest} bits, more than the {WIDEST_HLS_WORD} of Vitis HLS", mend


def vectors_are_short(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-04: an HLS MVAU reads its vector in at most 1024 words (``hls/matrixvectoractivation_hls.py``)."""
    if node.op == "MVAU_hls" and node.get("SIMD") * _MOST_HLS_WORDS < node.get("MW"):
        yield f"SIMD {node.get('SIMD')} of MW {node.get('MW')}", f"use a SIMD of at least MW / {_MOST_HLS_WORDS}"


def depthwise_synapses_follow(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-05: a VVAU has SIMD above 1 only with PE = Channels (``transformation/fpgadataflow/set_folding.py``)."""
    if node.op.startswith("VVAU") and node.get("SIMD", 1) > 1 and node.get("PE") != node.get("Channels"):
        yield f"SIMD {node.get('SIMD')} with PE {node.get('PE')}", f"use PE {node.get('Channels')}, or SIMD 1"


def parallel_windows_take_pixels(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-06: a parallel dense window reads whole pixels (``rtl/convolutioninputgenerator_rtl.py``)."""
    whole = node.get("SIMD") == node.get("IFMChannels")
    if node.get("parallel_window") and not node.get("depthwise") and not whole:
        yield f"a parallel window at SIMD {node.get('SIMD')}", f"use SIMD {node.get('IFMChannels')}"


def windows_feed_their_readers(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-07: a depthwise window's SIMD is its reader's PE, and it is parallel where that has SIMD above 1."""
    for reader in node.readers if node.get("depthwise") else ():
        pe, parallel = reader.attributes.get("PE", 1), int(reader.attributes.get("SIMD", 1) > 1)
        if node.get("SIMD") != pe:
            yield f"SIMD {node.get('SIMD')} in front of PE {pe}", "give both the same value"
        if int(node.get("parallel_window", 0)) != parallel:
            yield f"parallel_window {node.get('parallel_window')}", f"use {parallel}, as {reader.name}'s SIMD asks"


def threshold_memories_exist(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-08: thresholds inside an MVAU are not in UltraRAM (``matrixvectoractivation.py``, nodeattr types)."""
    if node.op.startswith("MVAU") and node.get("ram_style_thresholds") == "ultra":
        yield "thresholds in UltraRAM", "use ram_style_thresholds block or distributed"


def weights_are_not_all_zero(node: Folded) -> Iterator[tuple[str, str]]:
    """FOLD-09: a layer has a weight other than 0: else its accumulator becomes UINT0 (minimize_accumulator_width)."""
    if node.layer.weights is not None and not node.layer.weights.any():
        yield "a layer whose weights are all 0", "leave the layer out, or train it with a wider accumulator"


FOLDING_RULES: Final[Mapping[str, Rule]] = {
    "FOLD-01": multipliers_exist,
    "FOLD-02": ultra_ram_is_writable,
    "FOLD-03": words_are_narrow,
    "FOLD-04": vectors_are_short,
    "FOLD-05": depthwise_synapses_follow,
    "FOLD-06": parallel_windows_take_pixels,
    "FOLD-07": windows_feed_their_readers,
    "FOLD-08": threshold_memories_exist,
    "FOLD-09": weights_are_not_all_zero,
}


def _refused(node: Folded) -> Iterator[Finding]:
    """FOLD-10: FINN's node class takes the attributes (nodeattr types of every ``custom_op/fpgadataflow`` class)."""
    try:
        node.layer.unit(node.version)
    except A2QError as error:
        yield Finding("FOLD-10", node.layer.name, node.op, str(error), "mend the attribute")


def findings_of(layers: Sequence[FinnLayer], part: Part, version: Version) -> tuple[Finding, ...]:
    """What FINN refuses of folded nodes.

    Args:
        layers: Nodes under FINN's names, with the attributes of a folding file.
        part: FPGA part.
        version: FINN branch.
    """
    found = []
    for layer in layers:
        readers = tuple(other for other in layers if layer.name in other.inputs)
        node = Folded(layer, part, version, readers)
        own = [
            Finding(name, layer.name, layer.op_type, what, mend)
            for name, rule in FOLDING_RULES.items()
            for what, mend in rule(node)
        ]
        found += own or list(_refused(node))
    return tuple(found)


def illegal(
    graph: Graph, foldings: Mapping[str, Folding], part: Part, build: BuildOptions | None = None
) -> tuple[Finding, ...]:
    """What FINN refuses of a folded graph; nothing is said of networks that it does not have.

    Args:
        graph: The network, lowered to the branch.
        foldings: Folding of each unit.
        part: FPGA part.
        build: FINN branch, thresholds apart or not.
    """
    build = build or BuildOptions()
    options = FinnOptions(standalone_thresholds=build.standalone_thresholds)
    apart = build.standalone_thresholds
    try:
        entries = finn_folding(graph, foldings, part, build.finn_version, standalone_thresholds=apart)
        layers = specialized(graph, part, build.finn_version, options, in_hls(graph, foldings))
    except ConfigError:
        return ()
    folded = [replace(layer, attributes={**layer.attributes, **entries[layer.name]}) for layer in layers]
    return findings_of(folded, part, build.finn_version)
