"""``brevitas-a2q quickstart``: from a data set to a certified, costed accelerator in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from brevitas_a2q._cli.console import emit_json, messages
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.steps import Steps
from brevitas_a2q._files import refuse_others_files, write_atomically


@click.command("quickstart", cls=Guarded)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("a2q-quickstart"),
    show_default=True,
    help="Folder for the network, the certificate and the report.",
)
@click.option(
    "-P",
    "--accumulator-bit-width",
    type=click.IntRange(2, 64),
    default=10,
    show_default=True,
    help="P: accumulator width of the hidden layers.",
)
@click.option(
    "-M", "--weight-bit-width", type=click.IntRange(2, 8), default=4, show_default=True, help="M: weight bits."
)
@click.option(
    "-N", "--activation-bit-width", type=click.IntRange(1, 8), default=4, show_default=True, help="N: activation bits."
)
@click.option(
    "--method",
    type=click.Choice(["a2q", "a2q+", "projected"]),
    default="projected",
    show_default=True,
    help="Quantizer of the network that is certified, exported and estimated.",
)
@click.option("--epochs", type=click.IntRange(1, 1000), default=15, show_default=True, help="Epochs of each run.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of weights and batches.")
@click.option("--part", default="xc7z020clg400-1", show_default=True, help="FPGA part; see `brevitas-a2q parts`.")
@click.option(
    "--target-fps",
    type=click.FloatRange(min=0, min_open=True),
    default=10000.0,
    show_default=True,
    help="Frames per second to fold for.",
)
@click.option(
    "--clock-mhz",
    type=click.FloatRange(min=0, min_open=True),
    default=100.0,
    show_default=True,
    help="Clock of the accelerator.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON object.")
def command(
    out: Path,
    accumulator_bit_width: int,
    weight_bit_width: int,
    activation_bit_width: int,
    method: Any,
    epochs: int,
    seed: int,
    part: str,
    target_fps: float,
    clock_mhz: float,
    as_json: bool,
) -> None:
    """Train, certify, export and estimate a small network on handwritten digits, in under two minutes.

    Trains the network in float, then quantized with unconstrained accumulators, with A2Q, and with METHOD, all from
    the same float weights; proves that no input can overflow the P-bit accumulators; exports to QONNX and checks the
    file against PyTorch; estimates the FPGA design under four accumulator policies; and writes a report.
    """
    from brevitas_a2q.hw._target import Target

    target = Target(part, target_fps, clock_mhz)
    target.find_part()  # what can be wrong is found before a minute of training, not after it
    import torch

    from brevitas_a2q._cli.quickstart_steps import FILES, MARK, quickstart
    from brevitas_a2q.models import QuantSpec
    from brevitas_a2q.train import Recipe

    if not (out / FILES["unconstrained"]).exists():  # which no other command writes
        refuse_others_files(out, FILES.values(), MARK)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / MARK, "A folder that brevitas-a2q quickstart writes to.\n")
    # Threads cost so small a network more than they give, and one gives the same numbers on any number of cores.
    torch.set_num_threads(1)
    steps = Steps(messages())
    story = quickstart(
        out,
        QuantSpec(method, weight_bit_width, activation_bit_width, accumulator_bit_width),
        Recipe(epochs=epochs),
        seed,
        target,
        steps,
    )
    (out / MARK).unlink(missing_ok=True)
    steps.say(f"Open {out / FILES['page']}")
    if as_json:
        emit_json(story.to_json())
    if not story.certificate["holds"]:
        click.get_current_context().exit(1)
