"""``brevitas-a2q certify``: prove from a file alone that no accumulator can overflow, or re-check such a proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from brevitas_a2q._cli.console import emit_json, messages, say, show
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.report_files import Report, report_files, report_options, write_files
from brevitas_a2q._files import write_atomically
from brevitas_a2q._terminal import visible
from brevitas_a2q.errors import CertificateError

if TYPE_CHECKING:
    from brevitas_a2q.verify._certificate import Certificate

__all__ = ["command"]

_PATH = click.Path(path_type=Path)


@click.command("certify", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=_PATH)
@click.option("--against", metavar="CERT.json", type=_PATH, help="Check that this certificate holds for the file.")
@click.option("--out", "--output", "output", metavar="CERT.json", type=_PATH, help="Write the certificate to a file.")
@click.option("--input-range", type=(float, float), help="Lowest and highest value that the network's input can have.")
@click.option("--input-type", metavar="TYPE", help="QONNX data type of the network's inputs, such as uint8.")
@click.option("--assume-input-range", is_flag=True, help="Take the file's own word for range and type of its inputs.")
@click.option("--assume-defaults", is_flag=True, help="Take it that nobody replaces initializers that are inputs too.")
@report_options
@click.option("--json", "as_json", is_flag=True, help="Print the certificate as JSON instead of a table.")
def command(
    network: Path,
    against: Path | None,
    output: Path | None,
    input_range: tuple[float, float] | None,
    input_type: str | None,
    assume_input_range: bool,
    assume_defaults: bool,
    html: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Prove that no layer of a QONNX file can overflow its accumulator.

    For every layer: the exact lowest and highest sum over all inputs and all orders of additions, and the width that
    this requires, beside the widths that follow from its data types and from its weights alone. Layers without a target
    width are listed, but only layers with one decide. What ranges rest on besides the file's arithmetic is listed as an
    assumption; one that only the file itself vouches for has to be accepted by an option.

    Exit status: 0 if every target holds (and --against agrees), 1 if not, 2 on bad input.
    """
    from brevitas_a2q.verify._agreement import differences
    from brevitas_a2q.verify._certificate import read_certificate
    from brevitas_a2q.verify._certify import certify
    from brevitas_a2q.verify._document import certificate_json
    from brevitas_a2q.verify._table import CERTIFICATE_KEEP, certificate_table

    claimed = None if against is None else read_certificate(_text(against), str(against))
    certificate = certify(
        network,
        input_range=input_range,
        input_type=input_type,
        assume_input_range=assume_input_range,
        assume_defaults=assume_defaults,
    )
    broken = () if claimed is None else differences(claimed, certificate)
    if output is not None:
        write_atomically(output, certificate_json(certificate))
        messages().print(f"certificate written to {output}", markup=False)
    write_files(report_files(html, plot, lambda: _report(certificate, network.name)))
    if as_json:
        agreement = {} if claimed is None else {"against": {"agrees": not broken, "broken": list(broken)}}
        emit_json({**certificate.to_json(), **agreement})
    else:
        show(certificate_table(certificate), CERTIFICATE_KEEP)
        for assumption in certificate.assumptions:
            say(str(assumption))
        say(_verdict(certificate))
        for sentence in broken:
            say(f"{against}: {sentence}")
        if claimed is not None and not broken:
            say(f"{against}: every claim holds for this file")
    return 0 if certificate.holds and not broken else 1


def _report(certificate: Certificate, name: str) -> Report:
    from brevitas_a2q.report._certificate_page import certificate_figure, certificate_page

    figure = certificate_figure(certificate, name)
    return figure, lambda picture: certificate_page(certificate, _verdict(certificate), name, picture)


def _verdict(certificate: Certificate) -> str:
    targets = certificate.targets
    if not certificate.fits:
        names = [layer.name for layer in certificate.layers if not layer.holds]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return visible(f"DOES NOT HOLD: {', '.join(names[:3])}{more} can overflow the target width")
    if not targets:
        return "no layer has a target width: nothing to hold; the required widths are what the layers need"
    if not certificate.holds:
        return (
            "DOES NOT HOLD unless what the file alone assumes is true; "
            "--assume-input-range, --assume-defaults or --input-range say so"
        )
    return f"holds: no input can overflow the target width of any of {targets} layer{'s' if targets > 1 else ''}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CertificateError("is not a text", where=str(path), expected="a JSON certificate") from error
