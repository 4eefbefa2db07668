"""Yosys in a process of its own: an error in it ends a process, and it works while this one waits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from brevitas_a2q.errors import RtlError
from brevitas_a2q.rtl._tools import run_tool

__all__ = ["READ_LIMITS", "RUNNER", "need_yosys", "run_yosys", "runtime_folder"]

READ_LIMITS = "--unroll-limit 1000000 --max-constexpr-steps 100000000 --allow-use-before-declare"
RUNNER = "brevitas_a2q.rtl._yosys_process"


def need_yosys(what: str) -> None:
    """Raise where pyosys is missing.

    Raises:
        RtlError: With the line that brings it.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise RtlError(f"{what} needs pyosys", remedy="pip install brevitas_a2q[rtl]")


def run_yosys(script: str, path: Path, what: str, folder: Path, limit: float | None = None) -> str:
    """Run a script, kept under ``path``, with ``folder`` as the working directory; Yosys' log."""
    path.write_text(script)
    return run_tool([sys.executable, "-m", RUNNER, path], what, folder, limit, log=path.parent)


def runtime_folder() -> Path:
    """CXXRTL's header files."""
    spec = importlib.util.find_spec("pyosys")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"
