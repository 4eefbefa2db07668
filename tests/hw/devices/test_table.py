"""The table of parts: names, ordering codes, boards, own files, errors."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from brevitas_a2q.errors import PartError
from brevitas_a2q.hw._devices import boards, find_part, parts

# FINN, util/platforms.py: LUT, BRAM18, URAM, DSP, rounded there to thousands of LUTs for some devices.
FINN_PLATFORMS = {
    "xc7z020": (53200, 280, 0, 220),
    "xczu3eg": (71000, 412, 0, 360),
    "xczu7ev": (230000, 610, 92, 1728),
    "xczu9eg": (274000, 1824, 0, 2520),
    "xczu28dr": (425000, 2160, 80, 4272),
    "xcu250": (4 * 375000, 4 * 1152, 4 * 320, 4 * 2880),
}


def test_every_part_is_whole() -> None:
    for part in parts().values():
        assert part.ff == 2 * part.lut, part.name  # eight LUTs and sixteen flip-flops a CLB (7-series: four and eight)
        assert part.bram18 > 0
        assert part.bram18 % 2 == 0
        assert part.dsp > 0
        assert part.uram == 0 or part.family != "7-series"


def test_counts_agree_with_a_public_list() -> None:
    """Transcribed from lists of 7-series, UltraScale+ and Versal devices in public repositories, after Wikipedia's.

    Those count block RAMs of 36 kbit and were not made from AMD's product tables by us.
    """
    with Path(__file__).with_name("public_counts.csv").open(encoding="utf-8", newline="") as file:
        public = {row["part"]: row for row in csv.DictReader(file)}
    assert parts().keys() - public.keys() == {"xcv80"}
    for name, row in public.items():
        part = parts()[name]
        expected = int(row["lut"]), 2 * int(row["bram36"]), int(row["uram"]), int(row["dsp"])
        assert (part.lut, part.bram18, part.uram, part.dsp) == expected, name
    assert replace(parts()["xcv80"], name="xcvh1782") == parts()["xcvh1782"]


@pytest.mark.parametrize("name", FINN_PLATFORMS)
def test_counts_agree_with_finn_platforms(name: str) -> None:
    part, reference = parts()[name], FINN_PLATFORMS[name]
    # FINN leaves out what a platform's shell takes; the device has at least that, and at most a quarter more.
    for have, finn in zip((part.lut, part.bram18, part.uram, part.dsp), reference, strict=True):
        assert 0.99 * finn <= have <= 1.25 * finn


def test_every_board_carries_a_known_part() -> None:
    for board, code in boards().items():
        assert find_part(board) == find_part(code)


@pytest.mark.parametrize(
    ("code", "device"),
    [
        ("xczu7ev-ffvc1156-2-e", "xczu7ev"),
        ("XC7Z020CLG400-1", "xc7z020"),
        ("xc7a35ticsg324-1L", "xc7a35t"),
        ("xcvc1902-vsva2197-2MP-e-S", "xcvc1902"),
        ("zcu104", "xczu7ev"),
        ("U280", "xcu280"),
    ],
)
def test_ordering_codes_and_boards(code: str, device: str) -> None:
    assert find_part(code).name == device


@pytest.mark.parametrize("name", ["xczu7", "xczu77ev", "zcu105", "xc7z0201", "", "not-a-part"])
def test_unknown_part_names_the_nearest(name: str) -> None:
    with pytest.raises(PartError, match="expected a part or board such as") as caught:
        find_part(name)
    if name.startswith("xczu7"):
        assert "xczu7ev" in str(caught.value)


def test_own_part(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("{name: mine, family: UltraScale+, lut: 1000, ff: 2000, bram18: 10, dsp: 4}")
    part = find_part(file)
    assert (part.name, part.lut, part.uram, part.dsp_block) == ("mine", 1000, 0, "DSP48E2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "no mapping"),
        ("{name: a, family: UltraScale+, lut: 1, ff: 1, bram18: 1, dsp: 1, luts: 3}", "unknown keys"),
        ("{name: a, family: UltraScale+, lut: 1, ff: 1, bram18: 1}", "missing keys"),
        ("{name: a, family: Stratix, lut: 1, ff: 1, bram18: 1, dsp: 1}", "found family 'Stratix'"),
        ("{name: a, family: Versal, lut: -1, ff: 1, bram18: 1, dsp: 1}", "found lut = -1"),
        ("{name: a, family: Versal, lut: yes, ff: 1, bram18: 1, dsp: 1}", "found lut = True"),
        ("a: [", "not YAML"),
    ],
)
def test_bad_own_part(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(PartError, match=message):
        find_part(file)


def test_missing_own_part(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="cannot be read"):
        find_part(tmp_path / "none.yaml")
