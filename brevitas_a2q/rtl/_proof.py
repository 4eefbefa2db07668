"""A formal proof that a channel's accumulator never overflows, whatever the input: k-induction by Yosys' SAT solver.

What is proved is the very module that the accelerator uses (``dot_product.v``) with the channel's constants in its
memory, one PE, and any sequence of input words with any gaps: after every addition the accumulator of P bits is the
exact sum. The invariant that makes it inductive says in which interval the sum of the first words lies.

Products are added one by one, in the order of the unit's words: the sum of a word in the tree is theirs modulo 2^P, in
whatever order it is added up, so the unit's accumulator behind a word is the one behind the last of its products. That
is the stronger statement, and a solver sees it in seconds, where two trees of dozens of products are beyond it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from brevitas_a2q._files import write_atomically
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._ir import Graph, Mvau, Vvau
from brevitas_a2q.rtl._circuit import kind_of
from brevitas_a2q.rtl._generate import Accelerator, hdl_source
from brevitas_a2q.rtl._input_values import input_values, rows_at_once, sums_of
from brevitas_a2q.rtl._memory_image import Memory, encoded
from brevitas_a2q.rtl._yosys import need_yosys, run_yosys

__all__ = ["Proof", "layers_to_prove", "prove"]

_MODULES = ("counter", "multiply", "adder_tree", "dot_product", "dot_product_proof")
_LIMIT_S = 1800.0
_PROVED, _FAILED = "Induction step proven: SUCCESS!", "SAT temporal induction proof finished - model found"


@dataclass(frozen=True)
class Proof:
    """The accumulator of one channel."""

    layer: str
    channel: int
    products: int
    accumulator_bit_width: int
    holds: bool
    seconds: float


def layers_to_prove(graph: Graph, asked: Sequence[str]) -> list[str]:
    """Layers by name, each once; ``all`` stands for every one.

    Raises:
        RtlError: There is no such layer.
    """
    known = [u.name for u in graph.units if isinstance(u, Mvau | Vvau)]
    for name in asked:
        if name not in (*known, "all"):
            raise RtlError(f"found no layer {name!r}", expected=f"all, or one of {', '.join(known)}")
    return list(dict.fromkeys(known if "all" in asked else asked))


def prove(
    accelerator: Accelerator,
    layer: str,
    channels: list[int] | None = None,
    bits: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Proof, ...]:
    """Prove channels of a layer.

    Args:
        accelerator: What was generated; scripts go to ``proof`` below its folder.
        layer: Name of a matrix or depthwise unit.
        channels: Which channels; the one with the widest range of sums by default.
        bits: Width of the accumulator; the layer's own by default.
        progress: Called with a line for every channel that is done.

    Raises:
        RtlError: There is no such layer or channel, or the solver gives no answer.
    """
    need_yosys("a proof")
    (name,) = layers_to_prove(accelerator.netlist.graph, [layer])
    unit = accelerator.netlist.graph[name]
    assert isinstance(unit, Mvau | Vvau)
    values, phases = input_values(accelerator.netlist.graph, unit), rows_at_once(accelerator.netlist.graph, unit)
    least, most = (terms.sum(axis=2) for terms in sums_of(phases, values))
    if channels is None:
        channels = [int((most - least).max(axis=0).argmax())]
    found = []
    for channel in channels:
        if not 0 <= channel < len(unit.weights):
            raise RtlError(f"found channel {channel}", where=layer, expected=f"0 to {len(unit.weights) - 1}")
        widest = np.maximum(-least - 1, most)[:, channel].argmax()
        met = replace(unit, weights=phases[int(widest)])
        found.append(_channel(accelerator, met, channel, bits or unit.accumulator_type.bit_width, values))
        if progress is not None:
            progress(f"channel {channel}")
    return tuple(found)


def _channel(accelerator: Accelerator, unit: Mvau | Vvau, channel: int, bits: int, values: IntRange) -> Proof:
    products = unit.weights.shape[1]
    name = accelerator.netlist.identifiers[unit.name]
    folder = accelerator.folder / "proof" / f"{name}_{channel}_{bits}"
    folder.mkdir(parents=True, exist_ok=True)
    for module in _MODULES:
        write_atomically(folder / f"{module}.v", hdl_source(module))
    codes = encoded(unit.weights[channel].reshape(products, 1), unit.weight_type)
    write_atomically(folder / "w.mem", Memory(codes, unit.weight_type.bit_width).text())
    sums = [np.cumsum(part[channel]) for part in sums_of(unit.weights, values)]
    width = 64
    for file, ends in zip(("low.mem", "high.mem"), sums, strict=True):
        write_atomically(folder / file, Memory(ends.reshape(-1, 1), width).text())
    parameters = {
        "SF": products,
        "SIMD": 1,
        "W": unit.weight_type.bit_width,
        "WKIND": kind_of(unit.weight_type),
        "A": unit.input_type.bit_width,
        "AKIND": kind_of(unit.input_type),
        "P": bits,
        "LEVELS": accelerator.context.tree_levels,
        "CHECK": 1,
    }
    write_atomically(folder / "top.v", _top(parameters, values))
    started = time.perf_counter()
    log = run_yosys(_script(16), folder / "proof.ys", f"proof of {unit.name}", folder, _LIMIT_S)
    if _PROVED not in log and _FAILED not in log and "model found" not in log:
        raise RtlError("the solver gave no answer", where=f"{unit.name}, channel {channel}", remedy=f"see {folder}")
    return Proof(unit.name, channel, products, bits, _PROVED in log, time.perf_counter() - started)


def _top(parameters: dict[str, int], values: IntRange) -> str:
    """The dot product with its parameters; its inputs are any that the layer in front can write."""
    given = ", ".join(f".{name}({value})" for name, value in parameters.items())
    bits = parameters["SIMD"] * parameters["A"]
    sums, a = parameters["P"], parameters["A"]
    sign = "$signed" if parameters["AKIND"] else ""
    lanes = [f"{sign}(x[{i * a} +: {a}])" for i in range(parameters["SIMD"])]
    known = "".join(
        f"  always @* assume ({lane} >= {values.lo} && {lane} <= {values.hi});\n"
        for lane in (lanes if parameters["AKIND"] != 2 else ())
    )
    return f"""module top (input wire clk, input wire rst, input wire [{bits - 1}:0] x, input wire x_valid,
            input wire q_ready, output wire x_ready, output wire [{sums - 1}:0] q, output wire q_valid,
            output wire overflow);
{known}  dot_product #({given}, .WEIGHTS("w.mem")) dut (.clk(clk), .rst(rst), .in_data(x), .in_valid(x_valid),
      .in_ready(x_ready), .out_data(q), .out_valid(q_valid), .out_ready(q_ready), .overflow(overflow));
endmodule
"""


def _script(steps: int) -> str:
    sources = " ".join(f"{module}.v" for module in _MODULES)
    return f"""read_verilog -sv -formal -defer -D FORMAL {sources}
read_verilog -sv -formal top.v
hierarchy -top top; proc; flatten; opt; memory -nordff; opt -full; chformal -lower
async2sync; dffunmap; opt_clean
sat -tempinduct -prove-asserts -set-assumes -maxsteps {steps} top
"""
