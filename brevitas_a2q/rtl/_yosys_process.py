"""What runs inside of Yosys' own process: a script line by line; the line ``# map_roms`` maps read-only memories.

python -m brevitas_a2q.rtl._yosys_process SCRIPT
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Final

from brevitas_a2q.rtl._roms import map_roms

__all__ = ["MAP_ROMS"]

MAP_ROMS: Final = "# map_roms"


def _main(script: Path) -> None:
    from pyosys import libyosys as ys

    design = ys.Design()
    for line in script.read_text(encoding="utf-8").splitlines():
        if line == MAP_ROMS:
            map_roms(design)
        else:
            ys.run_pass(line, design)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would wait for Yosys to return
    _main(Path(sys.argv[1]))
