"""What all simulators share: a design with its bench to compile, and a process to run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from brevitas_a2q._files import write_atomically
from brevitas_a2q.rtl._bench_files import Plan
from brevitas_a2q.rtl._netlist import Netlist

__all__ = ["Job", "Raw", "Simulator", "compiled", "stamp_of"]

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
