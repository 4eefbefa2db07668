"""``brevitas-a2q check-finn``: what FINN would refuse in a QONNX file, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, say, show
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._terminal import marked
from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._target import DEFAULT_PART

if TYPE_CHECKING:
    from brevitas_a2q.hw._finn.rules import Finding

__all__ = ["command"]


@click.command("check-finn", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=click.Path(path_type=Path))
@click.option("--folding", "folding_file", type=click.Path(path_type=Path), help="Check a folding file of it, too.")
@click.option("--part", default=DEFAULT_PART, show_default=True, help="Part or board of the folding file.")
@click.option("--finn-version", type=click.Choice(["main", "dev", "plus"]), default="main", show_default=True)
@click.option("--standalone-thresholds", is_flag=True, help="Of the folding file: thresholds as nodes of their own.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON instead of a table.")
def command(
    network: Path,
    folding_file: Path | None,
    part: str,
    finn_version: str,
    standalone_thresholds: bool,
    as_json: bool,
) -> int:
    """Lists what FINN would refuse in a QONNX file, and in a folding file of it, and how to mend it.

    The rules are read from FINN's source; FINN is not needed. docs/export.md has them all.

    Exit status: 0 if nothing was found, 1 if FINN would refuse something, 2 on bad input.
    """
    from brevitas_a2q.export._check_finn import check_finn

    findings = check_finn(network)
    if folding_file is not None:
        findings += _folding(network, folding_file, part, finn_version, standalone_thresholds)
    if as_json:
        emit_json({"accepted": not findings, "findings": [asdict(finding) for finding in findings]})
    elif not findings:
        say(f"{network}: nothing found that FINN would refuse")
    else:
        table = Table(
            "Rule", "Node", "Operator", "Found", "How to mend it", title=marked(str(network)), title_justify="left"
        )
        for finding in findings:
            table.add_row(
                *(marked(text) for text in (finding.rule, finding.node, finding.op, finding.found, finding.mend))
            )
        show(table, ("Rule", "Found", "How to mend it"))
    return 1 if findings else 0


def _folding(network: Path, file: Path, part: str, finn_version: str, standalone: bool) -> tuple[Finding, ...]:
    from brevitas_a2q._cli.design_options import chosen_build
    from brevitas_a2q.hw._devices import find_part
    from brevitas_a2q.hw._finn.folding_reader import check_folding
    from brevitas_a2q.hw._finn.lowering import lowered
    from brevitas_a2q.hw._frontend import read_graph

    if not file.is_file():
        raise FoldingError("found no file", where=str(file), expected="a FINN folding file")
    version = chosen_build("finn", finn_version, standalone, "folded").finn_version
    graph = lowered(read_graph(network, standalone_thresholds=standalone), version)
    return check_folding(file, graph, find_part(part), version)
