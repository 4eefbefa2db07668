"""Pages and figures drawn from estimates: odd names, parts that lack what is used, designs without terms."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from brevitas_a2q.hw._compare import difference
from brevitas_a2q.hw._cost.result import CostTerm, Resources
from brevitas_a2q.hw._design import Row
from brevitas_a2q.hw._devices import Part
from brevitas_a2q.hw._estimation import Estimate
from brevitas_a2q.hw._folding_result import FoldResult
from brevitas_a2q.hw._lut_equivalent import LutEquivalent
from brevitas_a2q.report._comparison_plots import curve_figure, difference_figure
from brevitas_a2q.report._design_pages import curve_page, difference_page, estimate_page, fold_page
from brevitas_a2q.report._design_plots import estimate_figure
from brevitas_a2q.report._figures import image, picture

NAMES = ("<script>alert(1)</script>", "$x_{", "/a/very/long/path/through/many/modules/act_quant/Quant", "层")
PART = Part("own & <part>", "7-series", lut=1000, ff=2000, bram18=0, uram=0, dsp=4, dsp_block="DSP48E1")


@pytest.fixture
def odd() -> Estimate:
    """Names that a page or a label could take for markup, and block RAMs that the part does not have."""
    terms = (CostTerm("multipliers", 1200, "fitted", 0.03), CostTerm("weight memory", 34, "exact"))
    used = Resources(lut=1234, bram18=3)
    rows = tuple(Row(name, "MVAU", 2, 3, 12, used, 4321, None, terms) for name in NAMES)
    return Estimate("net<b>", PART, 100.0, "synthesis", "trained", rows, 4321, 9876, NAMES[0], ("warn <i>",), ("note",))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "srcset", "href")]


def check_page(page: str) -> None:
    """No markup out of names, and nothing that a browser would fetch."""
    found = _Tags()
    found.feed(page)
    assert not found.tags & {"script", "link", "iframe", "i", "b", "part"}
    assert found.addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in found.addresses)
    assert "url(" not in page
    assert "http" not in page


def test_estimate_page_escapes_and_counts(odd: Estimate) -> None:
    page = estimate_page(odd, picture(estimate_figure(odd)))
    check_page(page)
    for expected in (
        "&lt;script&gt;",
        "Does not fit",
        "warn &lt;i&gt;",
        "Note: note",
        "4,936",
        "the part has none",
        "4,800",
    ):
        assert expected in page
    assert "± 3.0 %" in page


def test_a_model_without_terms_says_so(odd: Estimate) -> None:
    finn = replace(odd, model="finn-main", rows=tuple(replace(row, terms=()) for row in odd.rows))
    page = estimate_page(finn, picture(estimate_figure(finn)))
    check_page(page)
    assert "FINN parity" in page
    assert "Where the LUTs go" not in page


def test_fold_page_with_and_without_setfolding(odd: Estimate) -> None:
    tight = replace(odd, rows=tuple(replace(row, pe=7, resources=Resources(lut=2468)) for row in odd.rows))
    refused = fold_page(FoldResult(odd, tight, {}, LutEquivalent(300, 2000, 100)), picture(estimate_figure(odd, tight)))
    assert "SetFolding&#39;s design does not fit" in refused or "SetFolding's design does not fit" in refused
    assert "2.00" not in refused
    other = replace(tight, part=replace(PART, lut=10**6, bram18=100))
    both = fold_page(FoldResult(odd, other, {}, LutEquivalent(300, 2000, 100)), picture(estimate_figure(odd, other)))
    alone = fold_page(FoldResult(odd, None, {}, LutEquivalent(300, 2000, 100)), picture(estimate_figure(odd)))
    check_page(both)
    check_page(alone)
    assert "9,872" in both
    assert "2.00" in both
    assert "FINN main cannot express this network" in alone


def test_curve_page_marks_what_does_not_fit() -> None:
    part = replace(PART, bram18=10)
    base = {"max_cycles": 100, "bram18": 1, "uram": 0, "dsp": 0}
    points = [
        {**base, "fps": 1000.0, "lut": 900, "lut_equivalent": 1000.0},
        {**base, "fps": 2000.5, "lut": 1001, "lut_equivalent": 1101.0},
    ]
    page = curve_page(points, part, "curve <x>", picture(curve_figure(points, part, "curve $<x>")))
    check_page(page)
    assert page.count(">no<") == 1
    assert "2,000.5" in page


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
def test_difference(odd: Estimate, file_format: str) -> None:
    rows = tuple(
        replace(row, name=f"layer {i}", resources=Resources(lut=10 * i)) for i in range(40) for row in odd.rows[:1]
    )
    found = difference(odd.to_json() | {"fits": True}, replace(odd, rows=rows).to_json())
    figure = difference_figure(found, "a$", "b$")
    page = difference_page(found, "before <b>", "after", picture(figure))
    check_page(page)
    assert "4,936" in page
    assert f"{sum(10 * i for i in range(40)):,}" in page
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert image(figure, file_format).startswith(start[file_format])


def test_no_difference(odd: Estimate) -> None:
    found = difference(odd.to_json(), odd.to_json())
    page = difference_page(found, "a", "b", picture(difference_figure(found, "a", "b")))
    check_page(page)
    assert "None of 4." in page
