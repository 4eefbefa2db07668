"""What all simulators share: a design with its bench to compile, and a process to run."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from brevitas_a2q.errors import RtlError
from brevitas_a2q.files import write_atomically
from brevitas_a2q.rtl.bench_files import Plan
from brevitas_a2q.rtl.netlist import Netlist

__all__ = ["Job", "Raw", "Simulator", "compiled", "run_tool", "stamp_of"]

Raw = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Job:
    """A generated accelerator and where its simulation lives."""

    netlist: Netlist
    plan: Plan
    sources: tuple[Path, ...]  # HDL files, the top among them
    memories: Path  # the folder that memories are read from
    vectors: Path  # plan, input and expected words
    build: Path  # the simulator's own files
    long: bool = True  # whether the run is worth the time of an optimising compiler


class Simulator(Protocol):
    """Compiles a job once and runs it any number of times."""

    name: str
    needs_text: bool  # whether vectors are read as text

    def missing(self) -> tuple[str, str] | None:
        """What is not installed, and the command that brings it; None if all is there."""

    def compile(self, job: Job) -> None:
        """Make the executable."""

    def run(self, job: Job, gap: int, stall: int, seed: int) -> Raw:
        """Run the bench; gaps and stalls in permille of the cycles."""


def run_tool(command: Sequence[str | Path], what: str, folder: Path, limit: float | None = None) -> str:
    """Run a program and return what it wrote.

    Raises:
        RtlError: With the last lines it wrote, if it fails, does not exist or takes more than ``limit`` seconds.
    """
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit,
        )
    except FileNotFoundError as error:
        raise RtlError(f"cannot be started ({error.strerror})", where=what) from error
    except subprocess.TimeoutExpired as error:
        raise RtlError(f"took more than {limit:g} seconds", where=what) from error
    if done.returncode:
        (folder / "failed.log").write_text(done.stdout + done.stderr)
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        wrong = [line for line in lines if "rror" in line] or lines[-1:]
        text = wrong[0][:300] if wrong else "no message"
        raise RtlError(f"failed with status {done.returncode}: {text}", where=what, remedy=f"see {folder}/failed.log")
    return done.stdout


def compiled(job: Job, texts: dict[str, str], options: Sequence[str]) -> bool:
    """Whether the executable in the build folder is that of these sources; writes what changed of ``texts``.

    The stamp is left to :func:`stamp_of` after the compilation, so that an interrupted one is done again.
    """
    job.build.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = job.build / name
        if not path.exists() or path.read_text() != text:
            write_atomically(path, text)
    stamp = job.build / "stamp.json"
    return stamp.exists() and stamp.read_text() == stamp_of(job, texts, options)


def stamp_of(job: Job, texts: dict[str, str], options: Sequence[str]) -> str:
    """The contents of all that goes into an executable, as a digest."""
    digest = hashlib.sha256()
    for path in (*sorted(job.sources), *sorted(job.memories.iterdir())):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(json.dumps([texts, list(options)]).encode())
    return digest.hexdigest()
