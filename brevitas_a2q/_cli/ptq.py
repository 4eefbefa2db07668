"""``brevitas-a2q ptq``: narrow accumulators for a trained network, without training."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from brevitas_a2q._cli.console import emit_json, messages
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.ptq_tables import layer_progress, print_post_training, report_json, widths_option
from brevitas_a2q._cli.report_files import report_options, write_files
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ, Target

__all__ = ["command"]

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Width(click.ParamType):  # type: ignore[type-arg]
    """A number of bits, or "auto"."""

    name = "bits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == "auto":
            return "auto"
        try:
            return int(value)
        except (TypeError, ValueError):
            self.fail(f"found {value!r}; expected a number of bits, or auto", param, ctx)


@click.command("ptq", cls=Guarded)
@click.option(
    "--model", "source", required=True, metavar="MODEL", help="module:function, torchvision:NAME or FILE.onnx."
)
@click.option("--weights", metavar="FILE", type=_FILE, help="State to load into the model (.safetensors, .pt).")
@click.option("--calibration", required=True, metavar="DATA", help="X.npz, a folder of images, or module:function.")
@click.option(
    "--samples", type=click.IntRange(min=2), help="How many of them to use, chosen at random; all by default."
)
@click.option("--image-size", type=(click.IntRange(min=1),) * 2, metavar="H W", help="Size of images of a folder.")
@click.option("-P", "--accumulator-bit-width", "bits", type=_Width(), default=16, show_default=True,
              help="Bits of every accumulator; auto for the least of each layer.")  # fmt: skip
@click.option(
    "--per-layer", is_flag=True, help="Give layers fewer than P bits where the output stays within --tolerance."
)
@click.option("--tolerance", type=float, default=1.0, show_default=True, help="Points of agreement that auto may lose.")
@click.option("--method", type=click.Choice(["auto", "projection", "exchange"]), default="auto", show_default=True)
@click.option("--weight-bits", type=int, help="M at most; 8 by default.")
@click.option("--activation-bits", metavar="N,N,...", callback=widths_option,
              help="N that layers may have; 2,3,4,5,6,8 by default.")  # fmt: skip
@click.option("--no-zero-point", is_flag=True,
              help="Activations as FINN takes them: without zero-points, unsigned behind a ReLU only.")  # fmt: skip
@click.option("--power-of-two", is_flag=True, help="Scales that are powers of two.")
@click.option("--per-tensor", is_flag=True, help="One weight scale for each layer instead of each channel.")
@click.option("--tile", type=click.IntRange(min=1), help="Weights per tile of a multi-stage accumulator.")
@click.option("--all-layers", is_flag=True, help="Constrain the first and last layer, too.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--part", help="FPGA part to estimate for (brevitas-a2q parts lists them).")
@click.option("--target-fps", type=float, help="Frames per second to fold for.")
@click.option("--clock-mhz", type=float, default=DEFAULT_CLOCK_MHZ, show_default=True)
@click.option("--out", required=True, metavar="DIR", type=_FOLDER, help="The same command goes on where one stopped.")
@report_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of a table.")
def command(
    source: str,
    weights: Path | None,
    calibration: str,
    samples: int | None,
    image_size: tuple[int, int] | None,
    bits: int | str,
    per_layer: bool,
    tolerance: float,
    method: str,
    weight_bits: int | None,
    activation_bits: tuple[int, ...] | None,
    no_zero_point: bool,
    power_of_two: bool,
    per_tensor: bool,
    tile: int | None,
    all_layers: bool,
    seed: int,
    part: str | None,
    target_fps: float | None,
    clock_mhz: float,
    out: Path,
    html: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Quantize a trained network so that its P-bit accumulators cannot overflow, without training it again.

    Layer by layer, activation widths and integer weights are chosen for least error of the output within the exact
    budget. --out gets the model's state, what its quantizers are (ptq.json), the certificate, and where the network is
    integer from end to end the QONNX file and an estimate of it.

    Exit status: 0 if every accumulator is proven, 1 if not, 2 on bad input.
    """
    from brevitas_a2q.ptq._config import PostTrainingConfig
    from brevitas_a2q.ptq._post_training import quantize_post_training_
    from brevitas_a2q.ptq._saved import journal_in, save_post_training
    from brevitas_a2q.ptq._sources import calibration_data, float_model
    from brevitas_a2q.report._narrow import narrow_report

    given: dict[str, Any] = {"weight_bit_width": weight_bits}
    if activation_bits is not None:
        given["activation_bit_widths"] = activation_bits
    config = PostTrainingConfig(
        accumulator_bit_width=bits,
        per_layer=per_layer,
        tolerance=tolerance,
        method=method,
        zero_point=not no_zero_point,
        power_of_two=power_of_two,
        scale="tensor" if per_tensor else "channel",
        tile=tile,
        skip_first_and_last=not all_layers,
        seed=seed,
        **given,
    )
    target = None if part is None else Target(part, target_fps, clock_mhz)
    if target is not None:
        target.find_part()  # what can be wrong is found before the work
    journal = journal_in(out)
    model = float_model(source, weights)
    data = calibration_data(calibration, image_size, samples, seed)
    with layer_progress(messages()) as progress, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message="layer .*: its inputs are constant")
        report = quantize_post_training_(model, data, config, on_progress=progress, journal=journal)
        saved = save_post_training(model, report, data, out, target=target)
    points = [asdict(trial) for trial in report.trials]
    write_files(narrow_report(report, points, source, tolerance, html, plot))
    for warning in told:
        messages().print(f"warning: {warning.message}", markup=False)
    if as_json:
        emit_json(report_json(report, saved, []))
    else:
        print_post_training(report, saved, points)
    messages().print(f"everything is in {out}", markup=False)
    return 0 if saved.certificate.holds else 1
