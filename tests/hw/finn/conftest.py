"""FINN's own numbers: a few rows in this folder, all of them from ``tests/data/finn``.

``golden_nodes.jsonl`` and ``golden_minimize.jsonl`` were printed by FINN ``main`` 39f0c9a6 (v0.10.1 line) and ``dev``
73ba5ed6 (2026-04-17) without vendor tools: one node a row, FINN's attributes and FINN's answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from oracle_data import ORACLE

Row = dict[str, Any]
HERE = Path(__file__).parent


def _rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="session")
def golden_nodes() -> list[Row]:
    """One node of every kind and branch."""
    return _rows(HERE / "golden_nodes.jsonl")


@pytest.fixture(scope="session")
def golden_minimize() -> list[Row]:
    """Minimisations, FINN's mistakes among them."""
    return _rows(HERE / "golden_minimize.jsonl")


@pytest.fixture(scope="session")
def oracle() -> Path:
    """The reference folder."""
    return ORACLE


@pytest.fixture(scope="session")
def oracle_nodes(oracle: Path) -> list[Row]:
    """All nodes of main and dev."""
    return [row for row in _rows(oracle / "nodes.jsonl") if "kind" not in row and row["finn"] != "plus"]


@pytest.fixture(scope="session")
def oracle_minimize(oracle: Path) -> list[Row]:
    """All minimisations of main and dev."""
    return [row for row in _rows(oracle / "nodes.jsonl") if "kind" in row and row["finn"] != "plus"]


@pytest.fixture(scope="session")
def reports(oracle: Path) -> dict[str, Row]:
    """FINN's end-to-end reports by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted((oracle / "reports").glob("*.json"))}
