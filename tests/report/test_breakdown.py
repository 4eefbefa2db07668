"""Where LUTs go: nothing is lost on the way from rows to layers and terms."""

from __future__ import annotations

import pytest

from brevitas_a2q.hw._cost.result import CostTerm, Resources
from brevitas_a2q.hw._design import Row
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._estimation import Estimate
from brevitas_a2q.report._breakdown import largest, layer_shares, term_totals


def row(name: str, op: str, lut: int, cycles: int | None, *terms: CostTerm) -> Row:
    return Row(name, op, None, None, None, Resources(lut=lut), cycles, None, terms)


@pytest.fixture
def estimate() -> Estimate:
    """A chain of a first unit, a FIFO and a converter, and two more units."""
    return Estimate(
        network="chain",
        part=find_part("xc7z020"),
        clock_mhz=100.0,
        model="synthesis",
        accumulator="trained",
        rows=(
            row("a", "MVAU", 7, 10, CostTerm("multipliers", 4.6, "fitted", 0.03), CostTerm("comparators", 2, "exact")),
            row("b/dwc", "DataWidthConverter", 3, None, CostTerm("control", 3, "fitted", 0.04)),
            row("b/fifo", "Fifo", 5, None, CostTerm("memory", 5, "exact")),
            row("b", "MVAU", 20, 30, CostTerm("multipliers", 20, "fitted", 0.03)),
            row("c", "LabelSelect", 2, 4, CostTerm("maximum", 2, "fitted", 0.16)),
        ),
        max_cycles=30,
        latency_cycles=44,
        bottleneck="b",
    )


def test_streams_are_counted_with_the_unit_they_feed(estimate: Estimate) -> None:
    a, b, c = layer_shares(estimate)
    assert (a.name, a.luts) == ("a", {"multipliers": 4.6, "thresholds": 2})
    assert (b.name, b.luts) == ("b", {"multipliers": 20, "FIFOs and width converters": 8})
    assert (c.luts, c.cycles) == ({"control and other": 2}, 4)


def test_the_rest_is_added_up(estimate: Estimate) -> None:
    layers = layer_shares(estimate)
    assert largest(layers, 3) == layers
    big, rest = largest(layers, 2)
    assert big.name == "b"
    assert rest.name == "2 smaller units"
    assert rest.total == pytest.approx(8.6)


def test_terms_keep_their_labels(estimate: Estimate) -> None:
    totals = term_totals(estimate)
    assert [(t.name, t.lut, t.basis, t.error_band) for t in totals] == [
        ("multipliers", 24.6, "fitted", 0.03),
        ("memory", 5, "exact", None),
        ("control", 3, "fitted", 0.04),
        ("comparators", 2, "exact", None),
        ("maximum", 2, "fitted", 0.16),
    ]
