"""A pool of two workers on the same sweep as chaos.py: python pool.py ADDRESS OUT SECONDS_PER_EPOCH."""

from __future__ import annotations

import sys
from pathlib import Path

from chaos import PATIENCE, VALUES
from toy import ToyConfig, ToyJob

from brevitas_a2q.sweep._pool import run_sweep
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._worker import Work

if __name__ == "__main__":
    given = Work(
        Space.from_dict(VALUES, ToyConfig), sys.argv[1], Path(sys.argv[2]), ToyJob(float(sys.argv[3])), PATIENCE
    )
    try:
        sys.exit(0 if run_sweep([given, given]) else 1)
    except KeyboardInterrupt:
        sys.stderr.write("KeyboardInterrupt\n")
        sys.exit(130)
