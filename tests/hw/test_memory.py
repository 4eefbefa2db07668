"""Where memories go, how many blocks they take, and how full those are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brevitas_a2q.errors import PartError
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import (
    bram18_count,
    lutram_luts,
    part_share,
    place_memories,
    place_memory,
    rom_luts,
    uram_count,
)

PART = Part("example", "UltraScale+", lut=230400, ff=460800, bram18=624, uram=96, dsp=1728, dsp_block="DSP48E2")
SMALL = replace(PART, uram=0)


@pytest.mark.parametrize(
    ("words", "bits", "blocks"),
    [(512, 36, 1), (512, 72, 2), (1024, 36, 2), (1024, 72, 4), (2048, 36, 4), (2048, 72, 8)],
)
def test_block_ram_as_synthesis_maps_it(words: int, bits: int, blocks: int) -> None:
    # Yosys 0.70, `wmem:rom_auto` rows of the reference grid
    assert bram18_count(words, bits) == blocks


@pytest.mark.parametrize(
    ("words", "bits", "cells"),
    [(16, 16, 16), (32, 16, 16), (32, 64, 40), (64, 64, 80), (128, 64, 193), (256, 64, 386), (512, 16, 236)],
)
def test_lut_memories_as_synthesis_maps_them(words: int, bits: int, cells: int) -> None:
    # Yosys 0.70, `wmem:lutram_rw` rows: cells that store and cells that select
    assert lutram_luts(words, bits) == pytest.approx(cells, rel=0 if words <= 64 else 0.02)


@given(st.integers(2, 70_000), st.integers(1, 400))
def test_blocks_hold_what_they_are_counted_for(words: int, bits: int) -> None:
    assert bram18_count(words, bits) * 18 * 1024 >= words * bits
    assert uram_count(words, bits) * 72 * 4096 >= words * bits
    assert lutram_luts(words, bits) * 64 >= words * bits
    for style in ("distributed", "block", "ultra"):
        assert 0 < place_memory(words, bits, style, PART).efficiency <= 1


@given(st.integers(1, 5000), st.integers(1, 300))
def test_auto_is_never_a_larger_share_than_any_style(words: int, bits: int) -> None:
    auto = part_share(place_memory(words, bits, "auto", PART).resources, PART)
    for style in ("distributed", "block", "ultra"):
        assert auto <= part_share(place_memory(words, bits, style, PART).resources, PART)


def test_deeper_read_only_memories_cost_more() -> None:
    assert all(a < b for a, b in pairwise(rom_luts(words, 16) for words in (16, 64, 128, 256, 512, 1024, 4096)))


def test_shallow_memories_stay_in_luts_and_deep_ones_leave_them() -> None:
    assert place_memory(32, 64, "auto", PART).style == "distributed"
    few_luts = replace(PART, lut=53200, bram18=280)
    assert place_memory(2048, 36, "auto", replace(few_luts, uram=0)).style == "block"
    assert place_memory(4096, 72, "auto", PART).style == "ultra"
    assert place_memory(4096, 72, "auto", replace(few_luts, uram=0)).style == "block"


def test_one_word_is_no_memory() -> None:
    assert place_memory(1, 512, "block", PART).resources == Resources()


def test_memories_add_up() -> None:
    shapes = [(512, 36), (1024, 18), (64, 8)]
    assert place_memories(shapes, "block", PART) == Resources(bram18=3)


def test_ultra_ram_needs_a_part_that_has_it() -> None:
    with pytest.raises(PartError, match=r"part example: .*UltraRAM.*ram_style block"):
        place_memory(4096, 72, "ultra", SMALL)
