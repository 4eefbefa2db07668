"""``brevitas-a2q export``: from a run's folder to a QONNX file and its certificate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from brevitas_a2q._cli.console import emit_json, messages, say, show
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._files import write_atomically

if TYPE_CHECKING:
    from brevitas_a2q.export._report import ExportReport

__all__ = ["command"]

_PATH = click.Path(path_type=Path)
_SIDE = click.IntRange(min=1)


@click.command("export", cls=Guarded)
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", metavar="MODEL.onnx", type=_PATH, help="The file to write; network.onnx in FOLDER by default.")
@click.option("--certificate", metavar="CERT.json", type=_PATH, help="Write the certificate to a file, too.")
@click.option(
    "--input-shape",
    type=(_SIDE, _SIDE, _SIDE),
    metavar="C H W",
    help="Channels, height and width of an image; those of the training data by default.",
)
@click.option("--allow-overflow", is_flag=True, help="Write the file even where a layer can overflow its target.")
@click.option("--json", "as_json", is_flag=True, help="Print the certificate and the checks as JSON.")
def command(
    folder: Path,
    out: Path | None,
    certificate: Path | None,
    input_shape: tuple[int, int, int] | None,
    allow_overflow: bool,
    as_json: bool,
) -> int:
    """Export the network of a training run, finished or not, to QONNX.

    FOLDER is what `brevitas-a2q train --out` wrote. The newest checkpoint is certified, exported, and the file executed
    beside it: every quantizer must give the same integers. The data are not needed.

    Exit status: 0 if every target width holds, 1 if not (no file is written then, unless --allow-overflow is given), 2
    on bad input.
    """
    from brevitas_a2q.export._qonnx import export_qonnx
    from brevitas_a2q.train._finish import NETWORK
    from brevitas_a2q.train._restore import trained_network
    from brevitas_a2q.verify._certify import certify
    from brevitas_a2q.verify._document import certificate_json
    from brevitas_a2q.verify._table import CERTIFICATE_KEEP, certificate_table

    trained = trained_network(folder)
    example = trained.example(input_shape)
    found, report = certify(trained.model, example), None
    if found.holds or allow_overflow:
        report = export_qonnx(trained.model, example, out or folder / NETWORK, allow_overflow=allow_overflow)
        found = report.certificate
    if certificate is not None:
        write_atomically(certificate, certificate_json(found))
    if as_json:
        emit_json({**found.to_json(), "epoch": trained.epoch, **_export_json(report)})
    else:
        show(certificate_table(found), CERTIFICATE_KEEP)
        if report is not None:
            for line in str(report).splitlines():
                say(line)
    if not found.holds:
        messages().print("DOES NOT HOLD: some layer can overflow its target width", markup=False)
    return 0 if found.holds else 1


def _export_json(report: ExportReport | None) -> dict[str, object]:
    if report is None:
        return {"path": None, "certificate_sha256": None, "checks": {}}
    return {
        "path": str(report.path),
        "certificate_sha256": report.certificate_sha256,
        "checks": dict(report.checks),
    }
