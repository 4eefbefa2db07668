"""``brevitas-a2q``: one command per step from a data set to a certified, costed accelerator."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

import click

from brevitas_a2q import __version__
from brevitas_a2q._interrupts import is_under_way
from brevitas_a2q._settings import nearest
from brevitas_a2q._terminal import visible
from brevitas_a2q.errors import A2QError

__all__ = ["main"]

# Command -> (module below brevitas_a2q._cli, its line in --help). Modules are imported when their command runs, so that
# `brevitas-a2q parts` does not wait for torch.
_COMMANDS = {
    "quickstart": ("quickstart", "Train, certify, export and estimate a small network on handwritten digits."),
    "train": ("train", "Train a network by a configuration; certify, export and estimate it."),
    "ptq": ("ptq", "Quantize a trained network within narrow accumulators, without training."),
    "narrow": ("narrow", "Find the least accumulator width of each layer that keeps a network's score."),
    "sweep": ("sweep", "Run many configurations, by any number of workers, and draw their Pareto fronts."),
    "export": ("export", "Write the network of a training run as a QONNX file with its certificate."),
    "certify": ("certify", "Prove that no layer of a QONNX file can overflow its accumulator."),
    "simulate": ("simulate", "Run a QONNX file with P-bit accumulators that wrap, saturate or are checked."),
    "check-finn": ("check_finn", "List what FINN would refuse in a QONNX file, and how to mend it."),
    "estimate": ("estimate", "LUT, BRAM, URAM, DSP, cycles and frames per second of a QONNX file on an FPGA."),
    "fold": ("fold", "Find the optimal folding for a target frame rate, or the fastest that fits a part."),
    "build": ("build", "Write the accelerator in Verilog; simulate it bit for bit, synthesise it, prove it."),
    "handoff": ("handoff", "Write a folder that FINN builds: model, folding, build file, verification data."),
    "compare": ("compare", "Put two estimates side by side."),
    "parts": ("parts", "List the FPGA parts and boards the estimator knows."),
}


class _LazyGroup(click.Group):
    """A group that imports a command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = importlib.import_module(f"brevitas_a2q._cli.{_COMMANDS[name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest command where there is none of the name."""
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = nearest(args[0], _COMMANDS)
            raise click.UsageError(f"No such command {args[0]!r}." + (f" {near[0].upper()}{near[1:]}" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="brevitas-a2q")
def _cli() -> None:
    """Accumulator-aware quantization: networks whose P-bit accumulators cannot overflow, whatever the input.

    Exit status: 0 done and true; 1 done and false (a certificate that does not hold, a design that does not fit where
    --require-fit asks it); 2 bad input, one line of error; 3 a failure of this program, one line that says where the
    details are.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; those of the process by default.

    Returns:
        Exit status: 0 to 3 as above, 130 when interrupted, 141 when nobody reads the output any more.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        status = _cli.main(words, prog_name="brevitas-a2q", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except BaseException as error:  # SystemExit, too: whoever's it is, what it says is no status of this program
        return _fail("interrupted", 130) if is_under_way(KeyboardInterrupt, error) else _failed(error)


def _failed(error: BaseException) -> int:
    """Say what went wrong, in one line; the exit status that goes with it."""
    if isinstance(error, click.ClickException):
        return _fail(error.format_message())
    if isinstance(error, A2QError):
        return _fail(str(error))
    if isinstance(error, BrokenPipeError) or _click_met_a_closed_pipe(error):
        _close_output()
        return 141
    if isinstance(error, ModuleNotFoundError):
        return _missing(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}")
    return _fail(_crash(error), 3)


def _missing(error: ModuleNotFoundError) -> int:
    """A package of the base that is not there, where only what files need was installed."""
    package = str(error.name).partition(".")[0]
    if package == "brevitas_a2q":
        return _fail(_crash(error), 3)
    return _fail(f"found no package {package!r}, which this command needs; pip install brevitas_a2q")


def _crash(error: BaseException) -> str:
    """One line on a failure that nobody foresaw; the traceback goes to a file, where one can be written."""
    line = f"failed with {type(error).__name__}: {str(error)[:200]}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="brevitas-a2q-", suffix=".txt", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return line
    return f"{line}; a bug: please report it with {file.name}"


def _click_met_a_closed_pipe(error: BaseException) -> bool:
    """Where click prints (help, version), it exits instead, and leaves streams behind that never complain again."""
    return isinstance(error, SystemExit) and "PacifyFlush" in type(sys.stdout).__name__


def _close_output() -> None:
    """Let what is left of the output go nowhere, or Python would complain of the closed pipe when it ends."""
    with contextlib.suppress(OSError, ValueError):  # where it is no real file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int = 2) -> int:
    click.echo(f"brevitas-a2q: error: {visible(' '.join(message.split()))}", err=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
