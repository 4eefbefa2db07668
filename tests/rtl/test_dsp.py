"""Several products in one DSP block: exact for all operands, one block by synthesis, as many as the estimate says."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from graphs import binary, folded, grouped, reordered
from networks import Builder
from test_simulation import accelerator_of, estimated, simulated

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.dot_product import dsp_products
from brevitas_a2q.hw._ir import Folding, MatrixUnit
from brevitas_a2q.rtl._generate import hdl_source
from brevitas_a2q.rtl._simulators import SIMULATORS, Simulator
from brevitas_a2q.rtl._synthesis import synthesise
from brevitas_a2q.rtl._yosys import READ_LIMITS, run_yosys

SHAPES = ((2, 3, 3, 0), (3, 2, 3, 1), (4, 2, 2, 0), (3, 3, 2, 1), (1, 4, 4, 0))  # lanes, W, A, signed
MIXING = 2654435761  # odd: a bijection of the operands


def operands_bench(shape: tuple[int, int, int, int], module: str, count: int) -> str:
    """Operands one after the other, in the order of a counter times an odd number: prints them and the products."""
    lanes, w, a, signed = shape
    bits = lanes * w + a
    parameters = f"#(.LANES({lanes}), .W({w}), .A({a}), .SIGNED({signed}))" if module == "dsp_products" else ""
    return f"""module bench;
  reg clk = 0; reg [{bits - 1}:0] n = 0; integer k;
  wire [{lanes * (w + a) - 1}:0] p;
  {module} {parameters} dut (.clk(clk), .en(1'b1), .w(n[{bits - 1}:{a}]), .x(n[{a - 1}:0]), .products(p));
  initial begin
    #200;  // the models of the vendor's cells are reset until then
    for (k = 0; k < {count}; k = k + 1) begin
      n = k * 32'd{MIXING}; #5 clk = 1; #5 $display("%h %h", n, p); clk = 0;
    end
    $finish;
  end
endmodule
"""


def wrong_products(shape: tuple[int, int, int, int], folder: Path, module: str, count: int, *sources: str) -> int:
    """How many lines of the bench hold a product that is not the one of Python's integers."""
    if shutil.which("iverilog") is None:
        pytest.skip("iverilog is not installed")
    (folder / "bench.v").write_text(operands_bench(shape, module, count))
    command = ["iverilog", "-g2012", "-o", "bench.vvp", "-s", "bench", "bench.v", *sources]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    done = subprocess.run(["vvp", "-n", "bench.vvp"], cwd=folder, check=True, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines() if len(line.split()) == 2]
    assert len({n for n, _ in lines}) == len(lines) == count
    lanes, w, a, signed = shape
    wrong = 0
    for operands, products in lines:
        n = int(operands, 16)
        x = two_s(n & (1 << a) - 1, a) if signed else n & (1 << a) - 1
        weights = [two_s(n >> a + i * w & (1 << w) - 1, w) for i in range(lanes)]
        expected = sum((weight * x & (1 << w + a) - 1) << i * (w + a) for i, weight in enumerate(weights))
        wrong += products != f"{expected:0{len(products)}x}"
    return wrong


def two_s(code: int, bits: int) -> int:
    return code - (code >> bits - 1 << bits)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_all_operands_are_exact(shape: tuple[int, int, int, int], tmp_path: Path) -> None:
    (tmp_path / "dsp_products.v").write_text(hdl_source("dsp_products"))
    count = 1 << shape[0] * shape[1] + shape[2]
    assert wrong_products(shape, tmp_path, "dsp_products", count, "dsp_products.v") == 0


@pytest.mark.slow
def test_products_of_eight_bits_are_proved(tmp_path: Path) -> None:
    """All weights and two bits of the activation are free in each of 64 proofs: together, all operands there are."""
    pytest.importorskip("pyosys")
    (tmp_path / "dsp_products.v").write_text(hdl_source("dsp_products"))
    (tmp_path / "top.v").write_text("""module top (input clk, input signed [15:0] w, input [7:0] x, output bad);
  wire [31:0] p;
  reg [31:0] q;
  dsp_products #(.LANES(2), .W(8), .A(8), .SIGNED(0)) dut (.clk(clk), .en(1'b1), .w(w), .x(x), .products(p));
  wire signed [15:0] low = $signed(w[7:0]) * $signed({1'b0, x}), high = $signed(w[15:8]) * $signed({1'b0, x});
  always @(posedge clk) q <= {high, low};
  assign bad = p != q;
endmodule
""")
    read = f"read_slang {READ_LIMITS} top.v dsp_products.v --top top\nhierarchy -top top; proc; flatten; opt\n"
    proofs = [f"sat -seq 1 -tempinduct -maxsteps 2 -prove bad 0 -set x[7:2] {n} top\n" for n in range(64)]
    log = run_yosys(read + "".join(proofs), tmp_path / "proof.ys", "proof", tmp_path)
    assert log.count("Induction step proven: SUCCESS!") == 64
    broken = hdl_source("dsp_products").replace("offset = ends", "offset = 0")
    (tmp_path / "dsp_products.v").write_text(broken)
    assert "model found" in run_yosys(read + proofs[3], tmp_path / "proof.ys", "proof", tmp_path)


EXHAUSTIVE = """#include "Vdsp_products.h"
#include <cstdio>
int main() {
  Vdsp_products dut;
  dut.en = 1;
  long wrong = 0;
  for (uint32_t n = 0; n < 1u << 24; n++) {
    dut.w = n >> 8; dut.x = n & 255; dut.clk = 0; dut.eval(); dut.clk = 1; dut.eval();
    int x = (int8_t)(n & 255), low = (int8_t)(n >> 8), high = (int8_t)(n >> 16);
    wrong += (uint32_t)dut.products != ((uint32_t)(uint16_t)(low * x) | (uint32_t)(uint16_t)(high * x) << 16);
  }
  printf("%ld wrong", wrong);
}
"""


@pytest.mark.parametrize("signed", [0, 1])
def test_products_of_eight_bits_are_exact_for_all_operands(signed: int, tmp_path: Path) -> None:
    if SIMULATORS["verilator"].missing() is not None:
        pytest.skip("Verilator is not installed")
    (tmp_path / "dsp_products.v").write_text(hdl_source("dsp_products"))
    (tmp_path / "all.cpp").write_text(EXHAUSTIVE if signed else EXHAUSTIVE.replace("int x = (int8_t)", "int x = "))
    command = ["verilator", "--cc", "--exe", "--build", "-O3", "-Wno-lint", "-Wno-fatal", "-CFLAGS", "-O1"]
    command += [f"-GSIGNED={signed}", "--Mdir", "obj", "dsp_products.v", "all.cpp"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found = subprocess.run([tmp_path / "obj" / "Vdsp_products"], check=True, capture_output=True, text=True).stdout
    assert found == "0 wrong"


@pytest.mark.parametrize(("lanes", "w", "a"), [(2, 8, 8), (3, 4, 4)])
def test_yosys_makes_one_block_of_them_that_computes_the_same(lanes: int, w: int, a: int, tmp_path: Path) -> None:
    """A 7-series block, for which Yosys knows pre-adder and adder, and has a model of the cell to simulate."""
    ys = pytest.importorskip("pyosys")
    (tmp_path / "dsp_products.v").write_text(hdl_source("dsp_products"))
    script = f"""read_slang {READ_LIMITS} dsp_products.v --top dsp_products -G LANES={lanes} -G W={w} -G A={a}
synth_xilinx -family xc7 -noiopad -noclkbuf -flatten -top dsp_products
rename dsp_products mapped
write_json mapped.json
write_verilog -noattr mapped.v
"""
    run_yosys(script, tmp_path / "synth.ys", "synthesis", tmp_path)
    cells = json.loads((tmp_path / "mapped.json").read_text())["modules"]["mapped"]["cells"].values()
    kinds = sorted(cell["type"] for cell in cells)
    assert kinds == ["DSP48E1", *["INV"] * (lanes - 1)]  # an inverted sign is part of the adder that reads it
    models = str(Path(ys.__file__).parent / "share" / "xilinx" / "cells_sim.v")
    assert wrong_products((lanes, w, a, 0), tmp_path, "mapped", 2000, "mapped.v", models) == 0


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("graph", [binary, grouped, reordered])
def test_accelerators_with_blocks_write_the_same_words(graph, seed: int, simulator: Simulator, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    made = graph()
    foldings = {
        name: replace(folding, compute="dsp") if isinstance(made[name], MatrixUnit) else folding
        for name, folding in folded(made, seed + 10).items()
    }
    accelerator = accelerator_of(made, tmp_path / "built", foldings)
    assert any(i.parameters.get("DSP") for i in accelerator.netlist.instances)
    assert simulated(made, tmp_path, simulator, foldings).words > 50


@pytest.mark.parametrize(("part", "block"), [("xczu7ev", "DSP48E2"), ("xc7z020", "DSP48E1")])
def test_synthesis_counts_what_the_estimate_says(part: str, block: str, tmp_path: Path) -> None:
    pytest.importorskip("pyosys")
    b = Builder(8, (4, 4), IntType("UINT4")).mvau("three", 7, 8)  # rows in threes, and one alone
    graph = b.mvau("seven", 5, 7).graph("products")
    foldings = {"three": Folding(7, 4, "dsp"), "seven": Folding(5, 7, "dsp")}
    found = synthesise(accelerator_of(graph, tmp_path, foldings, part))
    expected = estimated(graph, foldings, part)
    types = [(unit.weight_type, unit.input_type) for unit in graph.units if isinstance(unit, MatrixUnit)]
    lanes = [dsp_products(*pair, block, shared=True) for pair in types]
    assert lanes[0] == 3
    assert found.total.dsp == expected.total.dsp == 4 * -(-7 // lanes[0]) + 7 * -(-5 // lanes[1])
    for row in expected.rows:
        if row.name in foldings:  # with the adders behind the blocks
            assert found.rows[row.name].lut == pytest.approx(row.resources.lut, rel=0.25), row.name
