"""``brevitas-a2q ptq``: narrow accumulators for a trained network, without training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, messages, tables
from brevitas_a2q._cli.guard import Guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from brevitas_a2q.ptq._config import PostTrainingConfig
    from brevitas_a2q.ptq._report import PostTrainingReport
    from brevitas_a2q.ptq._saved import Saved

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
@click.option("--activation-bits", metavar="N,N,...", help="N that layers may have; 2,3,4,5,6,8 by default.")
@click.option("--no-zero-point", is_flag=True, help="Activations without zero-points.")
@click.option("--power-of-two", is_flag=True, help="Scales that are powers of two.")
@click.option("--per-tensor", is_flag=True, help="One weight scale for each layer instead of each channel.")
@click.option("--tile", type=click.IntRange(min=1), help="Weights per tile of a multi-stage accumulator.")
@click.option("--all-layers", is_flag=True, help="Constrain the first and last layer, too.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--part", help="FPGA part to estimate for (brevitas-a2q parts lists them).")
@click.option("--target-fps", type=float, help="Frames per second to fold for.")
@click.option("--clock-mhz", type=float, default=200.0, show_default=True)
@click.option("--out", required=True, metavar="DIR", type=_FOLDER, help="The same command goes on where one stopped.")
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
    activation_bits: str | None,
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
    as_json: bool,
) -> int:
    """Quantize a trained network so that its P-bit accumulators cannot overflow, without training it again.

    Layer by layer, activation widths and integer weights are chosen for least error of the output within the exact
    budget. --out gets the model's state, what its quantizers are (ptq.json), the certificate, and where the network is
    integer from end to end the QONNX file and an estimate of it.

    Exit status: 0 if every accumulator is proven, 1 if not, 2 on bad input.
    """
    from brevitas_a2q.hw._devices import find_part
    from brevitas_a2q.ptq._config import PostTrainingConfig
    from brevitas_a2q.ptq._journal import Journal
    from brevitas_a2q.ptq._post_training import quantize_post_training_
    from brevitas_a2q.ptq._saved import save_post_training
    from brevitas_a2q.ptq._sources import calibration_data, float_model

    given: dict[str, Any] = {"weight_bit_width": weight_bits}
    if activation_bits is not None:
        given["activation_bit_widths"] = _widths(activation_bits)
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
    if part is not None:
        find_part(part)
    model = float_model(source, weights)
    data = calibration_data(calibration, image_size, samples, seed)
    with _progress(config, messages()) as show, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message="layer .*: its inputs are constant")
        journal = Journal(out / "layers")
        report = quantize_post_training_(model, data, config, on_progress=show, journal=journal)
        saved = save_post_training(model, report, data, out, part=part, target_fps=target_fps, clock_mhz=clock_mhz)
    for warning in told:
        messages().print(f"warning: {warning.message}", markup=False)
    if as_json:
        emit_json(_json(report, saved))
    else:
        _print(report, saved)
    messages().print(f"everything is in {out}", markup=False)
    return 0 if saved.certificate.holds else 1


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"found --activation-bits {text!r}; expected numbers such as 4,8") from None


@contextmanager
def _progress(config: PostTrainingConfig, console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar over the layers of a pass on a terminal, a line for each elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("layers", total=None)

        def show(name: str, done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, description=name)
            if not console.is_terminal:
                console.print(f"{done}/{total} {name}", markup=False)

        yield show


def _json(report: PostTrainingReport, saved: Saved) -> dict[str, Any]:
    values = report.to_json()
    del values["spec"]
    return {
        **values,
        "certificate": saved.certificate.to_json(),
        "file": None if saved.file is None else str(saved.file),
        "file_reason": saved.reason,
        "estimate": saved.estimate,
        "estimate_reason": saved.estimate_reason,
    }


def _print(report: PostTrainingReport, saved: Saved) -> None:
    tables().print(str(report), markup=False)
    table = Table("", "value")
    held = "holds" if saved.certificate.holds else "DOES NOT HOLD"
    table.add_row("certificate", f"{held}: {saved.certificate.targets} accumulators, whatever the input")
    if saved.certificate.uncovered:
        table.add_row("not covered", "\n".join(saved.certificate.uncovered[:8]))
    table.add_row("QONNX file", str(saved.file) if saved.file else saved.reason)
    total = None if saved.estimate is None else saved.estimate["total"]
    table.add_row(
        "estimate", saved.estimate_reason if total is None else ", ".join(f"{v:,} {k}" for k, v in total.items())
    )
    for trial in report.trials:
        table.add_row(
            f"layer error up to {trial.layer_error:.5f}",
            f"{trial.mean_bit_width:.1f} bits, {trial.agreement:.1f} % agree",
        )
    tables().print(table)
