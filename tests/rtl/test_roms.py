"""Read-only memories as LUT cells: truth tables, and what Yosys makes of them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_a2q.hw._memory import rom_luts
from brevitas_a2q.hw._rom import stored_luts
from brevitas_a2q.rtl._packing import pack
from brevitas_a2q.rtl._roms import reduced

pytest.importorskip("pyosys")

MODULE = """
module rom #(parameter D = 100) (input [$clog2(D)-1:0] a, output [7:0] q);
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


def _mapped(folder: Path, words: list[int]) -> dict[str, Any]:
    (folder / "rom.v").write_text(MODULE)
    (folder / "rom.mem").write_text("\n".join(f"{w:02x}" for w in words) + "\n")
    command = [sys.executable, "-c", SCRIPT, str(len(words))]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    module: dict[str, Any] = json.loads((folder / "out.json").read_text())["modules"]["rom"]
    return module


def _kinds(module: dict[str, Any]) -> Counter[str]:
    return Counter(cell["type"] for cell in module["cells"].values())


@pytest.mark.parametrize("depth", [64, 256, 500, 1500, 4096])
def test_a_random_memory_takes_what_the_law_says(tmp_path: Path, depth: int) -> None:
    rng = random.Random(depth)
    words = [rng.randrange(256) for _ in range(depth)]
    module = _mapped(tmp_path, words)
    assert all(kind.startswith(("ROM_LUT", "MUXF")) for kind in _kinds(module))
    assert _kinds(module)["ROM_LUT6"] >= 8 * -(-depth // 64)
    assert rom_luts(depth, 8) == pack(module)["lut_pack"] == stored_luts(np.array(words)[None, :, None], 8)


@pytest.mark.parametrize(("depth", "zeros"), [(200, 0.97), (333, 0.99), (1030, 0.99), (3000, 0.995), (8191, 0.9)])
def test_memories_of_few_ones_take_what_the_law_says(tmp_path: Path, depth: int, zeros: float) -> None:
    # Constant parts make gates of multiplexers, equal ones are there once.
    rng = random.Random(depth)
    words = [rng.randrange(256) if rng.random() > zeros else 0 for _ in range(depth)]
    luts = pack(_mapped(tmp_path, words))["lut_pack"]
    assert stored_luts(np.array(words)[None, :, None], 8) == pytest.approx(luts, rel=0.03, abs=1)


def test_equal_and_constant_columns_are_stored_once(tmp_path: Path) -> None:
    rng = random.Random(1)
    bits = [rng.randrange(2) for _ in range(64)]
    assert _kinds(_mapped(tmp_path, [0b11000001 * bit | 0b10 for bit in bits])) == {"ROM_LUT6": 1}


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
