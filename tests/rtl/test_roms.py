"""Read-only memories as LUT cells: truth tables, and what Yosys makes of them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from brevitas_a2q.hw._memory import rom_luts
from brevitas_a2q.rtl._roms import reduced

pytest.importorskip("pyosys")

MODULE = """
module rom #(parameter D = 100) (input [8:0] a, output [7:0] q);
  (* ram_style = "logic", rom_style = "distributed" *) reg [7:0] words [0:D-1];
  initial $readmemh("rom.mem", words);
  assign q = words[a];
endmodule
"""
SCRIPT = """
import sys
from pyosys import libyosys as ys
from brevitas_a2q.rtl._roms import map_roms
design = ys.Design()
ys.run_pass(f"read_slang rom.v --top rom -G D={sys.argv[1]}; hierarchy -top rom; proc; opt_clean", design)
ys.run_pass("memory_collect", design)
map_roms(design)
ys.run_pass("opt_clean; write_json out.json", design)
"""


def _mapped(folder: Path, words: list[int]) -> dict[str, int]:
    (folder / "rom.v").write_text(MODULE)
    (folder / "rom.mem").write_text("\n".join(f"{w:02x}" for w in words) + "\n")
    command = [sys.executable, "-c", SCRIPT, str(len(words))]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    cells = json.loads((folder / "out.json").read_text())["modules"]["rom"]["cells"].values()
    kinds: dict[str, int] = {}
    for cell in cells:
        kinds[cell["type"]] = kinds.get(cell["type"], 0) + 1
    return kinds


@pytest.mark.parametrize("depth", [64, 256, 500])
def test_a_random_memory_takes_what_the_law_says(tmp_path: Path, depth: int) -> None:
    rng = random.Random(depth)
    kinds = _mapped(tmp_path, [rng.randrange(256) for _ in range(depth)])
    luts = sum(count for kind, count in kinds.items() if kind.startswith("ROM_LUT"))
    assert luts == 8 * -(-depth // 64)
    assert "$mem_v2" not in kinds
    assert rom_luts(depth, 8) == luts + (kinds.get("$mux", 0) + 1) // 2  # two multiplexers in a LUT


def test_equal_and_constant_columns_are_stored_once(tmp_path: Path) -> None:
    rng = random.Random(1)
    bits = [rng.randrange(2) for _ in range(64)]
    kinds = _mapped(tmp_path, [0b11000001 * bit | 0b10 for bit in bits])
    assert kinds == {"ROM_LUT6": 1}


@pytest.mark.parametrize("inputs", [1, 3, 6])
def test_reduced_tables_compute_the_same(inputs: int) -> None:
    rng = random.Random(inputs)
    for _ in range(50):
        table = rng.getrandbits(1 << inputs)
        if rng.random() < 0.5:  # without the lowest input
            table = sum((table >> (i & ~1) & 1) << i for i in range(1 << inputs))
        short, left = reduced(table, inputs)
        for i in range(1 << inputs):
            place = sum((i >> input_ & 1) << k for k, input_ in enumerate(left))
            assert short >> place & 1 == table >> i & 1
