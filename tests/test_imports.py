"""Modules import each other in one direction, imports inside functions included."""

from __future__ import annotations

import os
import subprocess
import sys
from graphlib import TopologicalSorter

import grimp


def test_there_is_no_circle_of_imports() -> None:
    graph = grimp.build_graph("brevitas_a2q", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    order = [module for module in TopologicalSorter(imports).static_order() if module in imports]
    assert order.index("brevitas_a2q.errors") < order.index("brevitas_a2q._cli.main")


def test_the_terminal_hears_nothing_of_a_compiler_that_nothing_uses() -> None:
    """torch speaks of it on import where a variable names one and no GPU is there."""
    code = "import brevitas_a2q; brevitas_a2q.Int8A2QWeightPerChannelFloat"
    environment = {**os.environ, "CUDA_HOME": "/usr/local"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "CUDA" not in done.stderr
