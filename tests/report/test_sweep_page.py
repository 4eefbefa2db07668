"""The figure and the page of a sweep: every number, odd names, and sweeps without results."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from brevitas_a2q.report._figures import image, picture
from brevitas_a2q.report._sweep_figures import sweep_figure
from brevitas_a2q.report._sweep_page import sweep_page
from brevitas_a2q.sweep._results import networks_of
from brevitas_a2q.sweep._status import RunStatus, SweepStatus
from brevitas_a2q.sweep._summary import Summary

SUMMARY = Summary(
    model="net<b>$x_{",
    data="层",
    method="a2q",
    weight_bit_width=4,
    activation_bit_width=5,
    accumulator_bit_width=12,
    mean_accumulator_bit_width=12.0,
    metric="accuracy",
    last=0.8125,
    best=0.8225,
    float_last=0.9175,
    sparsity=0.625,
    compression=3.25,
    holds=True,
    lut=12345.0,
    fps=1000.0,
    estimate_reason=None,
    seconds=1.0,
    device="cpu",
    seed=0,
)


def status(*summaries: Summary | None) -> SweepStatus:
    runs = [
        RunStatus(f"{i:016x}", {"P": i, "<i>": "<script>"}, "done" if found else "failed", 1, None, None, None, found)
        for i, found in enumerate(summaries)
    ]
    return SweepStatus("mine", ("metric",), tuple(replace(r, error=None if r.summary else "<b>NaN</b>") for r in runs))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)


def page_of(found: SweepStatus) -> str:
    networks = networks_of(found.runs)
    return sweep_page(found, networks, picture(sweep_figure(networks, "a $title <b>")))


def test_the_page_shows_every_number_and_no_markup_of_names() -> None:
    psnr = replace(SUMMARY, model="espcn", metric="psnr_db", last=30.25, method="projected", holds=False, lut=None)
    page = page_of(status(SUMMARY, replace(SUMMARY, method="a2q+", lut=11111.0), psnr, None))
    found = _Tags()
    found.feed(page)
    assert not found.tags & {"script", "i", "b", "link"}
    assert "http" not in page
    for expected in ("81.25 %", "82.25 %", "91.75 %", "62.5 %", "3.25", "12,345", "11,111", "30.25", "A2Q+", "A2Q"):
        assert expected in page
    assert "does not hold" in page
    assert "&lt;b&gt;NaN" in page
    assert "3 done" in page
    assert "1 failed" in page


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
def test_an_empty_sweep_has_a_figure_that_says_so(file_format: str) -> None:
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert image(sweep_figure((), "empty"), file_format).startswith(start[file_format])
    assert "Failed runs" not in page_of(status())


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
def test_the_same_runs_draw_the_same_bytes(file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = networks_of(status(SUMMARY, replace(SUMMARY, method="a2q+")).runs)
    pictures = []
    for when in ("0", "1000000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", when)  # what matplotlib takes for now
        pictures.append(image(sweep_figure(networks, "twice"), file_format))
    assert pictures[0] == pictures[1]


def test_the_curves_are_the_groups() -> None:
    runs = [
        replace(SUMMARY, accumulator_bit_width=p, mean_accumulator_bit_width=float(p), last=p / 20) for p in (9, 12)
    ]
    figure = sweep_figure(networks_of(status(*runs).runs), "two widths")
    metric, luts, sparsity, _ = figure.axes
    assert list(metric.lines[0].get_xdata()) == [9.0, 12.0]
    assert list(metric.lines[0].get_ydata()) == pytest.approx([45.0, 60.0])
    assert list(sparsity.lines[0].get_ydata()) == [62.5, 62.5]
    assert luts.get_xlabel() == "LUT"
