"""Products of streams and with parameters: any types, rows of either factor, the same integers as the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import folded
from networks import Builder
from test_simulation import accelerator_of, simulated

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._ir import ChannelwiseOp, DuplicateStreams, Folding, MulStreams, Thresholding
from brevitas_a2q.rtl._simulators import Simulator


def _needs_icarus(simulator: Simulator) -> None:
    if simulator.name != "icarus":
        pytest.skip("left to Icarus, which has nothing to compile")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("UINT1", "UINT1"),
        ("UINT1", "INT5"),
        ("INT2", "INT2"),
        ("UINT2", "INT6"),
        ("INT6", "UINT2"),
        ("UINT6", "UINT3"),
        ("INT3", "INT7"),
        ("UINT4", "UINT4"),
    ],
)
def test_products_of_streams(first: str, second: str, simulator: Simulator, tmp_path: Path) -> None:
    _needs_icarus(simulator)
    read, written = IntType(first), IntType(second)
    b = Builder(4, (4, 4), read)
    b.add(DuplicateStreams(**b.common("fork"), copies=2))
    rng = np.random.default_rng(0)
    steps = (1 << written.bit_width) - 1
    # Codes from the lowest to the highest, in another order than the values for every channel.
    table = np.sort(rng.integers(read.range.lo, read.range.hi + 2, (4, steps)), axis=1)
    codes = {**b.common("codes"), "output_type": written}
    b.add(Thresholding(**codes, thresholds=table, activation_bias=written.range.lo))
    common = {**b.common("product"), "inputs": ("codes", "fork"), "input_type": written, "output_type": read}
    graph = b.add(MulStreams(**common, factors=(written, read)).retyped([written, read])).graph("product")
    found = simulated(graph, tmp_path, simulator, folded(graph, 1) | {"product": Folding(pe=2)})
    assert found.words > 0


@pytest.mark.parametrize(
    "parameters", [[3, -2, 1, -4], [5, 5, 5, 5], [-1, -1, 0, -1], [100, 2, 77, -128], [1, 0, 1, 1]]
)
@pytest.mark.parametrize("read", ["INT4", "UINT7", "INT9"])
def test_products_with_parameters(parameters: list[int], read: str, simulator: Simulator, tmp_path: Path) -> None:
    _needs_icarus(simulator)
    b = Builder(4, (4, 4), IntType(read))
    factors = {"parameter_type": IntType("INT8"), "parameters": np.array(parameters)}
    unit = ChannelwiseOp(**b.common("scaled"), function="mul", **factors)
    graph = b.add(unit.retyped([IntType(read)])).graph("scaled")
    foldings = {"scaled": Folding(pe=2)}
    instances = accelerator_of(graph, tmp_path / "one", foldings).netlist.instances
    made = next(i for i in instances if i.module == "channelwise")  # another makes unsigned values signed
    assert bool(made.parameters["ROWS"]) == (len(set(parameters)) > 1)
    assert simulated(graph, tmp_path, simulator, foldings).words == 4 * 16 * 2
