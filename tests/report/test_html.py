"""What all pages share: pictures as SVG, captions, scopes, print and dark styles, and where they came from."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from oracle_data import ORACLE

from brevitas_a2q._cli.main import main

TFC = str(ORACLE / "models/tfc_w4a4_a2q12.onnx")
COMMANDS = {
    "estimate": ["estimate", TFC, "--target-fps", "1000", "--html"],
    "policies": ["estimate", TFC, "--accumulator", "32,exact", "--html"],
    "fold": ["fold", TFC, "--target-fps", "1000", "--html"],
    "curve": ["fold", TFC, "--pareto", "--html"],
    "parts": ["parts", "--html"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_pages_are_complete(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page of mine.html"
    assert main([*words, str(path)]) == 0
    page = path.read_text(encoding="utf-8")
    (picture,) = re.findall(r'<img alt="[^"]+" src="data:image/svg\+xml;base64,([^"]+)"', page)
    drawn = base64.b64decode(picture).decode()
    assert drawn.lstrip().startswith("<?xml")
    assert "<script" not in drawn
    assert page.count("<figcaption>") == 1
    (narrow,) = re.findall(r'media="\(max-width: 44rem\)" srcset="data:image/svg\+xml;base64,([^"]+)"', page)
    width = re.findall(r'<svg [^>]*width="([0-9.]+)pt"', base64.b64decode(narrow).decode())[0]
    assert float(width) < 320  # points, which 368 pixels of a page of 400 enlarge
    tables = re.findall(r"<table>(.*?)</table>", page, re.S)
    assert tables
    assert all(table.startswith("<caption>") or "How this page" not in table for table in tables)
    assert "<th>" not in page
    assert "@media print" in page
    assert not re.search(r"font-size: \.\d+rem", page)  # of the root's size, which paper does not have
    assert "prefers-color-scheme: dark" in page
    command = re.search(r"<code>(brevitas-a2q [^<]*)</code>", page)
    assert command is not None
    assert "page of mine.html" in command[1]
    for word in words[2:]:
        assert word in command[1]
    assert re.search(r"<td>--clock-mhz</td><td class=\"text\">200.0</td>", page) or words[0] == "parts"


def test_the_bottleneck_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert main(["estimate", TFC, "--target-fps", "1000", "--html", str(path)]) == 0
    marked = re.findall(r'<tr class="bottleneck"><td>([^<]+)</td>', path.read_text(encoding="utf-8"))
    assert marked
    assert all("MatMul" in name for name in marked)
