"""Modules import each other in one direction, imports inside functions included."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp


def test_there_is_no_circle_of_imports() -> None:
    graph = grimp.build_graph("brevitas_a2q", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    order = [module for module in TopologicalSorter(imports).static_order() if module in imports]
    assert order.index("brevitas_a2q.errors") < order.index("brevitas_a2q._cli.main")
