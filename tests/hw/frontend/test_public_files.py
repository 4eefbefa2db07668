"""Files that people bring, as they are in public repositories: each becomes a graph or one clear error."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from brevitas_a2q.errors import A2QError
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import Thresholding

MODELS = Path(__file__).parents[4] / "shared" / "models"
FILES = sorted(MODELS.glob("*.onnx"))

pytestmark = pytest.mark.skipif(not FILES, reason="the public files are not here")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_graph_or_a_message(file: Path) -> None:
    with contextlib.suppress(A2QError):  # anything else is a crash
        estimate_graph(read_graph(file), find_part("ZCU104"), 100)


def test_a_flattened_image_is_compared_with_one_row_of_thresholds() -> None:
    graph = read_graph(MODELS / "labs_tfc_w2a2.onnx")
    first, second = (unit for unit in graph.units[:2])
    assert isinstance(first, Thresholding)
    assert isinstance(second, Thresholding)
    assert first.thresholds.shape == (1, 3)
    assert (first.channels, first.pixels) == (second.channels, second.pixels) == (1, 784)
