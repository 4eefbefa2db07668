"""A short run of the fuzzer: see benchmarks/fuzz_reader.py for the long one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


def fuzzer() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_reader.py"
    spec = importlib.util.spec_from_file_location("fuzz_reader", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_mutated_files_are_handled_or_refused_by_name() -> None:
    report = fuzzer().fuzz(1000, seed=7)
    assert report.failures == []
    assert report.read > 20  # the mutations are not all hopeless
    assert report.certified > 20
    assert report.estimated > 2
    assert report.refused["read"] > 100
    assert report.slowest_seconds < 5
