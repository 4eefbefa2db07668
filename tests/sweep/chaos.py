"""Workers forked from one process, of which one is killed every moment: python chaos.py ADDRESS OUT KILLS SEED."""

from __future__ import annotations

import multiprocessing
import random
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from toy import ToyConfig, ToyJob

from brevitas_a2q.sweep._lease import Patience
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._worker import Stop, Work, work

VALUES = {"name": "chaos", "base": {"recipe": {"epochs": 5}}, "grid": {"seed": [0, 1], "P": [9, 10, 11, 12]}}
PATIENCE = Patience(beat_seconds=0.2, grace_seconds=3, poll_seconds=0.05)
CONTEXT = multiprocessing.get_context("fork")


def main(address: str, out: Path, kills: int, seed: int) -> None:
    """Three workers; exits with 0 when every one that was not killed says that all is done."""
    given = Work(Space.from_dict(VALUES, ToyConfig), address, out, ToyJob(0.02), PATIENCE)
    rng = random.Random(seed)
    pool = [start(given) for _ in range(3)]
    next_kill = rng.randint(1, 6)
    while any(process.is_alive() for process in pool):
        time.sleep(0.01)
        if kills and (done := lines(out)) >= next_kill:
            time.sleep(rng.uniform(0, 0.1))
            victim = rng.choice(pool)
            victim.kill()
            victim.join()
            kills, next_kill = kills - 1, done + rng.randint(1, 6)
        for place, process in enumerate(pool):
            if process.exitcode == -signal.SIGKILL:
                pool[place] = start(given)
    sys.exit(any(process.exitcode for process in pool))


def lines(out: Path) -> int:
    """How much has been done: kills keep pace with the work and not with the clock."""
    return sum(path.read_text().count("\n") for path in out.glob("runs/*/log"))


def start(given: Work) -> BaseProcess:
    process = CONTEXT.Process(target=_work, args=(given,))
    process.start()
    return process


def _work(given: Work) -> None:
    sys.exit(0 if work(given, Stop()) else 1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
