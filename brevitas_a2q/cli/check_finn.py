"""``brevitas-a2q check-finn``: what FINN would refuse in a QONNX file, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from brevitas_a2q.cli.console import emit_json, tables
from brevitas_a2q.cli.guard import Guarded
from brevitas_a2q.terminal import marked

__all__ = ["command"]


@click.command("check-finn", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON instead of a table.")
def command(network: Path, as_json: bool) -> int:
    """Lists what FINN would refuse in a QONNX file, and how to mend it.

    The rules are read from FINN's source; FINN is not needed. docs/export.md has them all.

    Exit status: 0 if nothing was found, 1 if FINN would refuse something, 2 on bad input.
    """
    from brevitas_a2q.export.check_finn import check_finn

    findings = check_finn(network)
    if as_json:
        emit_json({"accepted": not findings, "findings": [asdict(finding) for finding in findings]})
    elif not findings:
        tables().print(f"{network}: nothing found that FINN would refuse", markup=False)
    else:
        table = Table(
            "Rule", "Node", "Operator", "Found", "How to mend it", title=marked(str(network)), title_justify="left"
        )
        for finding in findings:
            table.add_row(
                *(marked(text) for text in (finding.rule, finding.node, finding.op, finding.found, finding.mend))
            )
        tables().print(table)
    return 1 if findings else 0
