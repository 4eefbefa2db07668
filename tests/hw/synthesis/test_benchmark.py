"""The benchmark's own code: counting physical LUTs in a netlist, and that its data are what it says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from brevitas_a2q.rtl._packing import pack

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "synth"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK))


def _lut(inputs: tuple[int, ...], output: int) -> dict[str, Any]:
    ports = {f"I{i}": [net] for i, net in enumerate(inputs)}
    return {"type": f"LUT{len(inputs)}", "connections": {**ports, "O": [output]}}


def _packed(*cells: dict[str, Any]) -> dict[str, int]:
    return pack({"cells": {str(i): cell for i, cell in enumerate(cells)}})


def test_two_functions_of_five_inputs_share_a_cell() -> None:
    assert _packed(_lut((1, 2, 3), 10), _lut((3, 4, 5), 11))["lut_pack"] == 1


def test_functions_of_six_inputs_or_without_a_common_one_do_not() -> None:
    assert _packed(_lut((1, 2, 3), 10), _lut((3, 4, 5, 6), 11))["lut_pack"] == 2
    assert _packed(_lut((1, 2), 10), _lut((3, 4), 11))["lut_pack"] == 2


def test_a_crowd_that_reads_one_net_is_paired_too() -> None:
    crowd = [_lut((1, 100 + i), 10_000 + i) for i in range(1001)]
    assert _packed(*crowd)["lut_pack"] == 501


def test_a_carry_bit_has_a_cell_of_its_own_and_absorbs_its_data_input() -> None:
    carry = {"type": "CARRY8", "connections": {"S": [10, "0"], "DI": [11, "0"]}}
    near = _packed(_lut((1, 2, 3), 10), _lut((1, 2), 11), _lut((1, 2), 12), carry)
    assert (near["lut_carry"], near["lut_pack"]) == (1, 2)
    far = _packed(_lut((1, 2, 3), 10), _lut((4, 5, 6), 11), carry)
    assert (far["lut_carry"], far["lut_pack"]) == (1, 2)


def test_memories_registers_and_blocks_are_counted_beside() -> None:
    cells = [{"type": kind, "connections": {}} for kind in ("RAM64M8", "FDRE", "FDSE", "RAMB36E2", "DSP48E2")]
    counts = _packed(*cells)
    assert [counts[name] for name in ("lut_pack", "lutram", "ff", "bram18", "dsp")] == [0, 8, 2, 2, 1]


def test_measured_rows_are_the_samples() -> None:
    from samples import samples

    with (BENCHMARK / "data" / "units.csv").open(newline="") as file:
        measured = [(row["sample"], row["kind"]) for row in csv.DictReader(file)]
    assert measured == [(sample.name, sample.unit.kind) for sample in samples()]
