"""``brevitas-a2q narrow``: the least accumulator width of each layer with which a trained network keeps its score."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from brevitas_a2q._cli.console import emit_json, messages, say
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.ptq_tables import Points, layer_progress, print_post_training, report_json, widths_option
from brevitas_a2q._cli.report_files import report_options, write_files
from brevitas_a2q.errors import A2QError, ConfigError
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ, Target

if TYPE_CHECKING:
    from torch import nn

    from brevitas_a2q.ptq._labelled import LabelledData
    from brevitas_a2q.ptq._report import PostTrainingReport, WidthTrial

__all__ = ["command"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("narrow", cls=Guarded)
@click.argument("source", metavar="MODEL")
@click.option("--weights", metavar="FILE", type=_FILE, help="State to load into the model (.safetensors, .pt).")
@click.option(
    "--data", metavar="DATA", help="Samples to judge by, with labels or without: X.npz, a folder, or module:function."
)
@click.option(
    "--calibration", metavar="DATA", help="Samples to quantize with; by default a part of --data that does not judge."
)
@click.option("--samples", type=click.IntRange(min=2), default=512, show_default=True, help="To quantize with at most.")
@click.option("--image-size", type=(click.IntRange(min=1),) * 2, metavar="H W", help="Size of images of a folder.")
@click.option("--tolerance", type=float, default=1.0, show_default=True, help="Points of the metric that may be lost.")
@click.option("--method", type=click.Choice(["auto", "projection", "exchange"]), default="auto", show_default=True)
@click.option("--weight-bits", type=int, help="M at most; 8 by default.")
@click.option(
    "--activation-bits",
    metavar="N,N,...",
    callback=widths_option,
    help="N that layers may have; 2,3,4,5,6,8 by default.",
)
@click.option("--no-zero-point", is_flag=True,
              help="Activations as FINN takes them: without zero-points, unsigned behind a ReLU only.")  # fmt: skip
@click.option("--all-layers", is_flag=True, help="Constrain the first and last layer, too.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--part", help="FPGA part, to estimate every network that is tried (brevitas-a2q parts lists them).")
@click.option("--target-fps", type=float, help="Frames per second to fold for.")
@click.option("--clock-mhz", type=float, default=DEFAULT_CLOCK_MHZ, show_default=True)
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), default="a2q-narrow",
              show_default=True, help="The same command goes on where one stopped.")  # fmt: skip
@report_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of tables.")
def command(
    source: str,
    weights: Path | None,
    data: str | None,
    calibration: str | None,
    samples: int,
    image_size: tuple[int, int] | None,
    tolerance: float,
    method: str,
    weight_bits: int | None,
    activation_bits: tuple[int, ...] | None,
    no_zero_point: bool,
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
    """Find the least accumulator width P of each layer with which a trained network keeps its score, without training.

    MODEL is module:function, torchvision:NAME or a float FILE.onnx. The score is the accuracy where --data has labels,
    and the agreement with the float network's classes where it has none. First the narrowest single P is found, then
    how much of each layer's error arrives at the output, and with that the widths layer by layer; every network that is
    tried is quantized whole, judged, and with --part estimated. docs/choosing_p.md explains the result.

    Exit status: 0 if every accumulator is proven, 1 if not, 2 on bad input.
    """
    from brevitas_a2q.ptq._config import AUTO, PostTrainingConfig
    from brevitas_a2q.ptq._post_training import quantize_post_training_
    from brevitas_a2q.ptq._saved import journal_in, save_post_training
    from brevitas_a2q.ptq._sources import float_model
    from brevitas_a2q.report._narrow import narrow_report

    given: dict[str, Any] = {"weight_bit_width": weight_bits}
    if activation_bits is not None:
        given["activation_bit_widths"] = activation_bits
    config = PostTrainingConfig(
        accumulator_bit_width=AUTO,
        tolerance=tolerance,
        method=method,
        zero_point=not no_zero_point,
        skip_first_and_last=not all_layers,
        seed=seed,
        **given,
    )
    target = None if part is None else Target(part, target_fps, clock_mhz)
    if target is not None:
        target.find_part()  # what can be wrong is found before the work
    journal = journal_in(out)
    known, judge = _data(data, calibration, image_size, samples, seed)
    evaluation = None if judge is None else judge.batches if judge.labels is None else (judge.batches, judge.labels)
    model = float_model(source, weights)
    points: Points = []
    costs = None if target is None else _luts(known, target)
    with layer_progress(messages()) as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = quantize_post_training_(
            model,
            known.batches,
            config,
            evaluation=evaluation,
            on_progress=progress,
            on_trial=_noted(points, costs),
            journal=journal,
        )
        saved = save_post_training(model, report, known.batches, out, target=target)
    write_files(narrow_report(report, points, source, tolerance, html, plot))
    if as_json:
        emit_json({**report_json(report, saved, points), "tolerance": tolerance})
    else:
        print_post_training(report, saved, points)
        say(_answer(report, tolerance))
    messages().print(f"everything is in {out}", markup=False)
    return 0 if saved.certificate.holds else 1


def _data(
    data: str | None, calibration: str | None, shape: tuple[int, int] | None, samples: int, seed: int
) -> tuple[LabelledData, LabelledData | None]:
    """What to quantize with, and what to judge by (None: a held-out part of it)."""
    from brevitas_a2q.ptq._labelled import labelled_data

    if data is None and calibration is None:
        raise ConfigError("found neither --data nor --calibration", expected="at least one of them")
    if calibration is not None:
        known = labelled_data(calibration, shape, 0)
        known = known.split(samples, seed)[0] if len(known) > samples else known
        return known, None if data is None else labelled_data(data, shape)
    found = labelled_data(str(data), shape)
    known, judge = found.split(min(samples, len(found) // 2), seed)
    return known, judge


def _noted(points: Points, costs: Callable[[Any], int | None] | None) -> Callable[[nn.Module, WidthTrial], None]:
    def note(model: nn.Module, trial: WidthTrial) -> None:
        lut = None if costs is None else costs(model)
        points.append({
            "kind": trial.kind, "mean_bit_width": trial.mean_bit_width, "score": trial.score,
            "output_error": trial.output_error, "layer_error": trial.layer_error, "lut": lut,
        })  # fmt: skip
        spent = "" if lut is None else f", {lut:,} LUT"
        messages().print(f"{trial.kind}, {trial.mean_bit_width:.1f} bits: {trial.score:.2f} %{spent}", markup=False)

    return note


def _luts(known: LabelledData, target: Target) -> Callable[[Any], int | None]:
    """LUTs of a network on a part; None where it is not integer from end to end."""
    from brevitas_a2q.export._qonnx import export_qonnx
    from brevitas_a2q.hw._estimation import estimate
    from brevitas_a2q.ptq._saved import example_of

    example = example_of(known.batches)

    def luts(model: Any) -> int | None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "network.onnx"
            try:
                export_qonnx(model, example, file)
                return estimate(file, target.part, target.target_fps, target.clock_mhz).total.lut
            except A2QError:
                return None

    return luts


def _answer(report: PostTrainingReport, tolerance: float) -> str:
    narrow = [row.accumulator_bit_width for row in report.rows if row.accumulator_bit_width < 32]
    one = [trial for trial in report.trials if trial.kind == "one P" and trial.score >= report.float_score - tolerance]
    single = f"; with one P for all layers {min(t.mean_bit_width for t in one):.0f} bits" if one else ""
    if not narrow:
        return "no layer is constrained: the first and the last are not, unless --all-layers says so"
    least, most, mean = min(narrow), max(narrow), sum(narrow) / len(narrow)
    widths = f"{least} bits" if least == most else f"{least} to {most} bits, {mean:.1f} on average"
    score = f"{report.score:.2f} % (float {report.float_score:.2f} %, {tolerance:g} points may be lost)"
    return f"{score} at {widths}{single}"
