"""Programs that this package runs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from brevitas_a2q.errors import RtlError

__all__ = ["run_tool"]


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
