"""What Vivado makes of FINN's units: structural laws, whose coefficients are fitted to published counts.

Each law says which parts a unit has, as amounts of LUTs or flip-flops per coefficient: bits in registers, multiplexers,
shift registers, comparators. What is known exactly (words of a LUT memory) is a feature too; its coefficient says what
Vivado takes for it. Names of units are FINN's of any version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import lcm, log2
from typing import Final, TypeAlias

from brevitas_a2q.bounds import data_type_bound
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._cost.synthesis.core import core_lut
from brevitas_a2q.hw._cost.synthesis.dsp import dsp_core_features
from brevitas_a2q.hw._cost.synthesis.fits import lut
from brevitas_a2q.hw._memory import bram18_count, lutram_luts, rom_luts
from brevitas_a2q.hw._vivado.dsp_registers import core_registers, lanes
from brevitas_a2q.hw._vivado.parameters import Parameters

__all__ = ["KNOWN", "LAWS", "Blocks", "Features", "Law", "kind_of"]

Features: TypeAlias = Mapping[str, float]
Blocks: TypeAlias = tuple[int, int]  # BRAM18, DSP
Law: TypeAlias = Callable[[Parameters], tuple[str, Features, Features, Blocks]]  # variant, of LUTs, of flip-flops

KNOWN: Final = "known"  # LUTs that are counted, not fitted
_KINDS: Final[Mapping[str, str]] = {
    "StreamingFIFO": "fifo",
    "StreamingDataWidthConverter_rtl": "converter",
    "StreamingDataWidthConverter": "hls converter",
    "MVAU_rtl": "rtl matrix unit",
    "MVU_rtl": "rtl matrix unit",
    "MVAU": "hls matrix unit",
    "MVU": "hls matrix unit",
    "StreamingFCLayer": "hls matrix unit",
    "MatrixVectorActivation": "hls matrix unit",
    "StreamingMaxPool": "max pool",
    "FMPadding": "padding",
    "ConvolutionInputGenerator_rtl": "window",
    "ConvolutionInputGenerator": "hls window",
    "Thresholding_rtl": "thresholds",
    "Thresholding": "hls thresholds",
    "LabelSelect": "label select",
    "Pool": "pool",
    "IODMA": "dma",
}


def kind_of(op: str) -> str:
    """The law for a FINN op type.

    Raises:
        ConfigError: There is none.

    Example:
        >>> kind_of("MVAU_hls"), kind_of("StreamingFCLayer_Batch"), kind_of("MVAU_rtl")
        ('hls matrix unit', 'hls matrix unit', 'rtl matrix unit')
    """
    plain = op.removesuffix("_hls").removesuffix("_Batch")
    for name in (plain, plain.removesuffix("_rtl")):
        if name in _KINDS:
            return _KINDS[name]
    raise ConfigError(f"found unit {op!r}", expected=f"one of {', '.join(_KINDS)}")


_LUT_THRESHOLD_BITS: Final = 1024
_LUT_BUFFER_BITS: Final = 2048  # of a vector that an RTL unit keeps for its next pass; more are in block RAM
_LUT_WEIGHT_BITS: Final = 1 << 14  # that newer parts have in LUTs where FINN leaves it to Vivado
_LUT_WEIGHT_WORDS: Final = 3  # the same of 7-series parts
_PACKED: Final = 0.5  # LUTs of a bit of shift registers of up to 16 words
_LUT_INPUTS: Final = 6
_SHIFT_WORDS: Final = 32  # of one bit in a LUT that is a shift register
_LUT_RAM_WORDS: Final = 64  # of one bit in a LUT that is memory of one port
_WIDE: Final = 150  # bits of a word that is parted, above which Vivado does not pack two multiplexers into a LUT
_FEW_WORDS: Final = 3  # nor where one is parted into so few


def _log(number: int) -> float:
    return log2(max(1, number))


def _bits(limit: int) -> int:
    return max(0, limit - 1).bit_length()


def _fifo(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    """Two words are registers; shift registers of 32 words a LUT and bit; from 257 words on (vivado) block RAM.

    Slices join two, four or eight shift registers; another number of them takes LUTs, one for two bits.
    """
    width, depth = p("W"), p("D")
    if depth <= 2:
        return "registers", {"bits": width, "each": 1}, {"bits": 2 * width, "each": 1}, (0, 0)
    if p.word("impl", "rtl") == "vivado" or depth > 256:
        features = {"depth": _log(depth), "bits": width, "each": 1}
        return "memory", features, features, (bram18_count(depth, width), 0)
    chained = -(-depth // _SHIFT_WORDS)
    joined = _PACKED * width if chained & (chained - 1) else 0.0
    features = {"shifted": chained * width, "bits": width, "depth": _bits(depth), KNOWN: joined}
    return "shift registers", features, {"bits": width, "depth": _log(depth)}, (0, 0)


def _converter(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    into, out = p("IN"), p("OUT")
    if into > out:
        steps = into / out
        moved = "moved, packed" if steps > _FEW_WORDS and into <= _WIDE else "moved"
        features = {moved: into - out, "count": _log(int(steps)), "each": 1}
        return "parting", features, {"bits": into, "held": 2 * out, "count": _log(int(steps)), "each": 1}, (0, 0)
    count = _log(out // into)
    return (
        "gathering",
        {"word": into, "count": count, "each": 1},
        {"bits": into + out, "count": count, "each": 1},
        (0, 0),
    )


def _hls_converter(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    """Two words in front and two behind (the slices of HLS' streams, each a multiplexer a bit), the word that is held.

    A word that is parted has a multiplexer more: it is shifted, or the next one comes. One that is gathered is only
    shifted, and the slice in front, of narrow words, is lost in its control.
    """
    into, out = p("IN"), p("OUT")
    held = lcm(into, out)
    if into > out:
        return "parting", {KNOWN: 2 * held + out, "each": 1}, {KNOWN: 4 * held + 2 * out, "each": 1}, (0, 0)
    return "gathering", {KNOWN: held, "each": 1}, {KNOWN: 4 * held + 2 * into, "each": 1}, (0, 0)


def _matrix(p: Parameters) -> tuple[int, int, int, int, int, int]:
    """Synapse folds, neuron folds, accumulator bits that are not trimmed, thresholds, PE, SIMD."""
    mw, mh, pe, simd = p("MW"), p("MH"), p("PE"), p("SIMD")
    bound = data_type_bound(mw, p("A"), p("W"), bool(p("AS", 0)))
    steps = (1 << p("B", 0)) - 1
    return mw // simd, mh // pe, min(p("P", bound), bound), steps, pe, simd


def _in_luts(p: Parameters, words: int, width: int) -> bool:
    """Whether weights are in LUTs: as FINN says, or as Vivado decides."""
    style = p.word("ram", "auto")
    small = words <= _LUT_WEIGHT_WORDS if _seven(p) else words * width <= _LUT_WEIGHT_BITS
    return style == "distributed" or (style == "auto" and small)


def _seven(p: Parameters) -> bool:
    return p.word("family", "7-series") == "7-series"


def _newer(p: Parameters) -> bool:
    """Whether the unit's RTL parts are those of FINN dev and finn-plus (``rtl=dev``), not of FINN main."""
    return p.word("rtl", "main") == "dev"


def _weight_stream(p: Parameters, width: int, in_luts: bool) -> tuple[float, int]:
    """LUTs and flip-flops of the weights' way from their memory to the unit (``memstream.sv``).

    That of FINN main has a register behind the memory, which block RAM has inside. That of dev has two there, eight
    words in shift registers, and one behind them; Vivado puts two bits of so few words into a LUT.
    """
    if _newer(p):
        return _PACKED * width, width * (3 if in_luts else 1)
    return 0.0, width if in_luts else 0


def _hls_matrix(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    """Core, the vector in registers behind a multiplexer, comparators, weights and thresholds in memories.

    On 7-series parts weights take block RAM of a depth that is a power of two. Old FINN wrote its weight memories,
    newer FINN only reads them. Each threshold of a PE is a memory of its own, in block RAM where it has more than
    ``_LUT_THRESHOLD_BITS``.
    """
    synapse, neuron, accumulator, steps, pe, simd = _matrix(p)
    weight, activation, mw = p("W"), p("A"), p("MW")
    words, width = synapse * neuron, pe * simd * weight
    streamed = p.word("ram", "streamed") == "streamed"
    in_luts = not streamed and _in_luts(p, words, width)
    dsp = p("dsp", 0) or (pe * simd if p.word("res", "lut") == "dsp" else 0)
    held = mw * activation if neuron > 1 else 0
    depth = 1 << _bits(words) if _seven(p) else words
    blocks = 0 if streamed or in_luts else bram18_count(depth, width)
    written = p.op.startswith("StreamingFCLayer")
    buffered = 0 if streamed or written else _weight_stream(p, width, in_luts)[1]
    thresholds_in_blocks = neuron * accumulator > _LUT_THRESHOLD_BITS
    features = {
        "core": 0.0 if dsp else core_lut(weight, activation, simd, pe, accumulator),
        "dsp core": pe * (accumulator + (simd - 1) * (weight + activation)) if dsp else 0.0,
        "vector": held,
        "results": pe * accumulator,
        "comparators": pe * steps * accumulator if steps else 0,
        KNOWN: (lutram_luts if written else rom_luts)(words, width) if in_luts else 0,
        "each": 1,
    }
    registers = {
        KNOWN: buffered,
        "vector": held,
        "weights": width,
        "inputs": simd * activation,
        "results": pe * accumulator,
        "thresholds": pe * steps * accumulator,
        "each": 1,
    }
    blocks += pe * steps * bram18_count(neuron, accumulator) if thresholds_in_blocks else 0
    return "", features, registers, (blocks, dsp)


def _rtl_matrix(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    """DSP blocks with their sums outside; older RTL (MVU_rtl) has its products in LUTs.

    Sums leave through two registers in FINN main, through shift registers and one in dev.
    """
    synapse, neuron, accumulator, _, pe, simd = _matrix(p)
    weight, activation = p("W"), p("A")
    words, width = synapse * neuron, pe * simd * weight
    streamed = p.word("ram", "streamed") == "streamed"
    in_luts = not streamed and _in_luts(p, words, width)
    blocks = 0 if streamed or in_luts else bram18_count(words, width)
    memory = rom_luts(words, width) if in_luts else 0
    if p.op.startswith("MVU") or max(weight, activation) < 3:
        features = {
            "core": core_lut(weight, activation, simd, pe, accumulator),
            "buffer": lutram_luts(synapse, simd * activation) if neuron > 1 else 0,
            "results": pe * accumulator,
            KNOWN: memory,
            "each": 1,
        }
        return "luts", features, {"results": pe * accumulator, "weights": width, "each": 1}, (blocks, 0)
    newer = _newer(p)
    dsp = simd * -(-pe // lanes(weight, activation, newer))
    core = dict(dsp_core_features(weight, activation, simd, pe, accumulator))
    if newer:
        core["adder tree.saved"] = 0.0  # registers between the levels
    kept = simd * activation if neuron > 1 else 0
    in_blocks = synapse * kept > _LUT_BUFFER_BITS
    blocks += bram18_count(synapse, kept) if in_blocks else 0
    known = memory + (lutram_luts(synapse, kept) if kept and not in_blocks else 0)
    selected = width * _log(-(-words // 16384)) if not in_luts else 0.0  # blocks of one bit behind each other
    queued = _PACKED * pe * accumulator if newer else 0.0
    streams, held = (0.0, 0) if streamed else _weight_stream(p, width, in_luts)
    features = {"core": lut("dsp core", core), KNOWN: known + queued + streams, "selected": selected, "each": 1}
    sums = core_registers(weight, activation, simd, pe, accumulator, pipelined=newer)
    outputs = pe * accumulator * (1 if newer else 2)
    registers = {KNOWN: sums + outputs + kept + held, "addresses": _bits(words), "vector": _bits(synapse), "each": 1}
    return "blocks", features, registers, (blocks, dsp)


def _max_pool(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    bits = p("C") * p("A")
    if p("W", 1) == 1:
        features = {"word": p("PE", 1) * p("A"), "each": 1}
        return "line", features, features, (0, 0)
    # The maxima of the rows so far, one for each column: HLS makes a memory of one port of every channel's.
    pooled = p("W") // p("KW", 2)
    features = {"bits": bits, KNOWN: bits * -(-pooled // _LUT_RAM_WORDS), "each": 1}
    return "image", features, {"bits": bits, "each": 1}, (0, 0)


def _padding(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    height, width = p("H") + p("T", 0) + p("BO", 0), p("W", 1) + p("L", 0) + p("R", 0)
    counters = [_bits(n) for n in (height, width, p("C") // p("SIMD"))]
    word, wide = p("SIMD") * p("A"), sum(bits > _LUT_INPUTS for bits in counters)
    features = {"counters": sum(counters), "compared": wide, KNOWN: _PACKED * word, "each": 1}
    return "", features, {"counters": sum(counters), "word": word, "each": 1}, (0, 0)


def _window(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    height, width, kh, kw = p("H"), p("W"), p("KH"), p("KW")
    fold, word = p("C") // p("SIMD"), p("SIMD") * p("A")
    counters = sum(_bits(n) for n in (p("OH"), p("OW"), kh, kw, fold))
    in_luts = p.word("ram", "distributed") in ("distributed", "auto")
    if p("pw", 0) or kh * kw == 1:
        line = (width - ((kw - 1) * p("DW", 1) + 1)) * fold
        lines = (kh - 1) * lutram_luts(line, word) if in_luts else 0
        features = {KNOWN: lines, "counters": sum(_bits(n) for n in (height, width)), "each": 1}
        registers = {"window": kh * kw * word, "counters": features["counters"], "each": 1}
        blocks = 0 if in_luts else (kh - 1) * bram18_count(line, word)
        return "parallel", features, registers, (blocks, 0)
    words = ((kh - 1) * p("DH", 1) * width + (kw - 1) * p("DW", 1) + 1) * fold
    features = {
        "buffer": lutram_luts(words, word) if in_luts else 0,
        "counters": counters,
        "addresses": _bits(words),
        "each": 1,
    }
    blocks = 0 if in_luts else bram18_count(words, word)
    registers = {"word": word, "counters": counters, "addresses": _bits(words), "each": 1}
    return "sequential", features, registers, (blocks, 0)


def _hls_window(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    fold, word = p("C") // p("SIMD"), p("SIMD") * p("A")
    lines = p("KH") + p("SH", 1)
    memory = lines * lutram_luts(p("W") * fold, word) if p.word("ram", "auto") == "distributed" else 0
    features = {"buffer": memory, "word": word, "each": 1}
    blocks = 0 if memory else lines * bram18_count(p("W") * fold, word)
    return "", features, {"word": word, "each": 1}, (blocks, 0)


_LABEL_BITS: Final = 8  # of a label as it leaves
_BLOCK_SEARCH_WORDS: Final = 128  # of a stage's memory, from which Vivado takes block RAM


def _thresholds(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    """One comparator and one memory per output bit and PE; two bits are compared in a LUT.

    The value enters through a multiplexer that thresholds are written by. Where all channels are searched at once, or
    too few of them one after another for a memory, all thresholds are constants behind multiplexers. ``ram`` says where
    memories go (``depth_trigger_bram``). Every stage has two registers, which hold the value, the bits found so far and
    the number of the channel, the latter once for all PEs, and one behind its memory that block RAM has inside.
    """
    pe, bits, steps, style = p("PE"), p("T", p("A")), p("steps", 1), p.word("ram", "auto")
    fold, stages = max(1, p("C") // pe), max(1, steps.bit_length())
    shapes = [(fold << stage, bits) for stage in range(stages)]
    least = {"distributed": 1 << 63, "block": 0}.get(style, _BLOCK_SEARCH_WORDS)
    in_blocks = [s for s in shapes if s[0] >= least and stages > 1 and fold > 1]
    in_luts = [s for s in shapes if s not in in_blocks]
    constants = pe * steps * bits if fold == 1 and stages > 1 else 0
    compared = pe * sum(-(-bits // 2) for _ in range(stages))
    memory = 0 if constants or steps == 1 else pe * sum(rom_luts(*shape) for shape in in_luts)
    features = {"constants": constants, KNOWN: compared + memory, "entered": pe * bits, "each": 1}
    codes = stages * (stages - 1) // 2 if in_blocks else stages * stages
    read = sum(bits for words, _ in in_luts if words > fold)
    each = min(bits, p("A", bits)) * (2 * stages - 1) + codes + stages + read
    shared = 2 * (stages - 1) * _bits(fold) + 2 * stages
    return "", features, {KNOWN: pe * each + shared, "each": 1}, (pe * sum(bram18_count(*s) for s in in_blocks), 0)


def _hls_thresholds(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    pe, bits, steps = p("PE"), p("T", p("A")), p("steps", 1)
    features = {"comparators": pe * steps * bits, "each": 1}
    return "", features, {"comparators": pe * bits, "each": 1}, (0, 0)


def _labels(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    """A stream's slice in front and behind, a comparison (two bits a LUT) and a selection for every value and place.

    Two multiplexers share a LUT where values are whole bytes, which no other public unit has; else the first value of
    an image has a multiplexer of its own.
    """
    places, value, values = p("K", 1), p("A"), p("PE") * p("A")
    whole = value % _LABEL_BITS == 0
    moved = values + places * values + _LABEL_BITS + (0 if whole else places * value)
    found = (_PACKED if whole else 1.0) * moved + places * values / 2
    return "", {KNOWN: found, "each": 1}, {"compared": places * values, "each": 1}, (0, 0)


def _pool(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    features = {"word": p("PE") * max(p("A"), p("acc", 0)), "each": 1}
    return "", features, features, (0, 0)


def _dma(p: Parameters) -> tuple[str, Features, Features, Blocks]:
    features = {"stream": min(p("streamWidth"), 512), "interface": p("intfWidth"), "each": 1}
    return "", features, features, (2 if p("intfWidth") > 8 else 1, 0)


LAWS: Final[Mapping[str, Law]] = {
    "fifo": _fifo,
    "converter": _converter,
    "hls converter": _hls_converter,
    "hls matrix unit": _hls_matrix,
    "rtl matrix unit": _rtl_matrix,
    "max pool": _max_pool,
    "padding": _padding,
    "window": _window,
    "hls window": _hls_window,
    "thresholds": _thresholds,
    "hls thresholds": _hls_thresholds,
    "label select": _labels,
    "pool": _pool,
    "dma": _dma,
}
