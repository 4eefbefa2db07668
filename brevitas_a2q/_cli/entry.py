"""Where the program starts: an interrupt while the command line itself is being imported leaves no traceback either."""

from __future__ import annotations

import sys

from brevitas_a2q._interrupts import arrived, interrupts_arrive

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process; see :func:`brevitas_a2q._cli.main.main`."""
    try:
        interrupts_arrive()
        from brevitas_a2q._cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("\nbrevitas-a2q: error: interrupted\n")
        return 130
    finally:
        arrived()


if __name__ == "__main__":
    sys.exit(main())
