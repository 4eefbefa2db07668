"""The program's first steps: an interrupt is answered while the package is still being loaded."""

from __future__ import annotations

import os
import signal

__all__ = ["main"]


def _interrupted(signum: int, frame: object) -> None:
    """End at once: nothing has been begun yet."""
    os.write(2, b"\nbrevitas-a2q: error: interrupted\n")
    os._exit(130)


def main() -> int:
    """Run the command line of this process; see :func:`brevitas_a2q._cli.main.main`."""
    signal.signal(signal.SIGINT, _interrupted)
    from brevitas_a2q._cli.entry import main as run

    return run()
