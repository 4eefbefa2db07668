"""Programs that this package runs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from brevitas_a2q.errors import RtlError

__all__ = ["json_of", "run_tool", "stop_tools"]

_RUNNING: Final[set[subprocess.Popen[str]]] = set()


def run_tool(
    command: Sequence[str | Path], what: str, folder: Path, limit: float | None = None, *, log: Path | None = None
) -> str:
    """Run a program in a folder and return what it wrote.

    Args:
        command: The program and its arguments.
        what: What it is called in errors.
        folder: Where it runs.
        limit: Seconds.
        log: Folder that keeps all it wrote, should it fail; the one where it runs by default.

    Raises:
        RtlError: With the last lines it wrote, if it fails, cannot be started or takes more than ``limit`` seconds.
        KeyboardInterrupt: It was interrupted, as this program will be.
    """
    words = [str(word) for word in command]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(words, cwd=folder, stdout=pipe, stderr=pipe, text=True, errors="replace") as process:
            _RUNNING.add(process)
            try:
                done = subprocess.CompletedProcess(words, 0, *process.communicate(timeout=limit))
            except BaseException:
                process.kill()
                raise
            finally:
                _RUNNING.discard(process)
            done.returncode = process.returncode
    except OSError as error:
        raise RtlError(f"cannot be started ({error.strerror})", where=what) from error
    except subprocess.TimeoutExpired as error:
        raise RtlError(f"took more than {limit:g} seconds", where=what) from error
    if done.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    if done.returncode:
        raise RtlError(_why(done), where=what, remedy=f"see {_kept(done, log or folder)}")
    return done.stdout


def stop_tools() -> None:
    """Interrupt all programs that run, so that threads that wait for them do not hold up the end of this one."""
    for process in list(_RUNNING):
        process.send_signal(signal.SIGINT)


def _why(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        names = {number.value: number.name for number in signal.Signals}
        return f"was ended by {names.get(-done.returncode, f'signal {-done.returncode}')}"
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    wrong = [line for line in lines if "rror" in line] or lines[-1:]
    return f"failed with status {done.returncode}: {wrong[0][:300] if wrong else 'no message'}"


def _kept(done: subprocess.CompletedProcess[str], folder: Path) -> Path:
    """Where all that it wrote is kept, as far as there is room."""
    path = folder / "failed.log"
    with contextlib.suppress(OSError):
        path.write_text(done.stdout + done.stderr)
    return path


def json_of(text: str, what: str) -> Any:
    """What a program wrote as JSON.

    Raises:
        RtlError: It is none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise RtlError(f"wrote {text[:60]!r}", where=what, expected="a JSON object") from error
