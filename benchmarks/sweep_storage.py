"""Which embedded storage survives several processes and kills: SQLite as Optuna opens it, SQLite as we do, the journal.

Several processes take trials from one queue, one of them is killed every fraction of a second and replaced, until the
queue is empty. Counted: trials that two processes took, processes that ended with an error, the longest time in which
nobody finished a trial, and whether the storage can be opened and read at the end.

    python benchmarks/sweep_storage.py [--out benchmarks/results/sweep_storage.json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState, create_trial

from brevitas_a2q.files import write_atomically
from brevitas_a2q.sweep.storage import open_storage

Opener = Callable[[Path], BaseStorage]
VARIANTS: dict[str, Opener] = {
    "sqlite, as Optuna opens it": lambda folder: optuna.storages.get_storage(
        RDBStorage(f"sqlite:///{folder}/sweep.db", engine_kwargs={"connect_args": {"timeout": 60}})
    ),
    "sqlite, BEGIN IMMEDIATE": lambda folder: opened(f"sqlite:///{folder}/sweep.db"),
    "journal file": lambda folder: opened(f"journal:{folder}/sweep.journal"),
}
RESULT = {"curve": [round(0.01 * i, 4) for i in range(400)]}  # what a run leaves behind, a few kB
CONTEXT = multiprocessing.get_context("fork")


def opened(address: str) -> BaseStorage:
    """Open until this process ends."""
    return ExitStack().enter_context(open_storage(address))


def work(variant: str, folder: Path) -> None:
    """Take waiting trials until there are none; every one taken leaves a line."""
    storage = VARIANTS[variant](folder)
    study = storage.get_study_id_from_name("s")
    while waiting := storage.get_all_trials(study, deepcopy=False, states=(TrialState.WAITING,)):
        taken = storage.get_trial_id_from_study_id_trial_number(study, waiting[0].number)
        try:
            if not storage.set_trial_state_values(taken, TrialState.RUNNING):
                continue
        except optuna.exceptions.UpdateFinishedTrialError:
            continue
        note(folder / "taken", str(waiting[0].number))
        for epoch in range(3):
            storage.set_trial_user_attr(taken, "epoch", epoch)
        storage.set_trial_user_attr(taken, "result", RESULT)
        try:
            storage.set_trial_state_values(taken, TrialState.COMPLETE, [0.5])
        except optuna.exceptions.UpdateFinishedTrialError:
            continue  # another process had taken it too, and finished first
        note(folder / "finished", str(time.time()))


def note(path: Path, line: str) -> None:
    """Append one line, whole: a single write."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def measure(variant: str, trials: int, workers: int, seconds: float, kill_every: float, seed: int) -> dict[str, Any]:
    """One queue, emptied under kills."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = optuna.create_study(storage=VARIANTS[variant](folder), study_name="s")
        for _ in range(trials):
            study.add_trial(create_trial(state=TrialState.WAITING))
        started = time.time()
        pool = [start(variant, folder) for _ in range(workers)]
        kills, failures, last_kill = 0, 0, started
        while any(process.is_alive() for process in pool) and time.time() - started < seconds:
            time.sleep(0.02)
            if kill_every and time.time() - last_kill > rng.uniform(0.5, 1.5) * kill_every:
                victim = rng.choice(pool)
                if victim.is_alive():
                    os.kill(victim.pid or 0, signal.SIGKILL)
                    kills, last_kill = kills + 1, time.time()
            for place, process in enumerate(pool):
                if process.exitcode:
                    failures += process.exitcode > 0
                    pool[place] = start(variant, folder)
        elapsed = time.time() - started
        for process in pool:
            process.kill()
            process.join()
        return {
            "storage": variant,
            "trials": trials,
            "workers": workers,
            "kills": kills,
            "seconds": round(elapsed, 1),
            **counts(folder, started, started + elapsed),
            "processes_ended_by_an_error": failures,
            "readable_at_the_end": readable(variant, folder),
        }


def start(variant: str, folder: Path) -> Any:
    process = CONTEXT.Process(target=work, args=(variant, folder), daemon=True)
    process.start()
    return process


def counts(folder: Path, started: float, ended: float) -> dict[str, Any]:
    taken = Counter((folder / "taken").read_text().split())
    times = sorted(float(line) for line in (folder / "finished").read_text().split())
    pauses = [after - before for before, after in zip([started, *times], [*times, ended], strict=True)]
    return {
        "taken_by_two": sum(count > 1 for count in taken.values()),
        "finished": len(times),
        "longest_pause_seconds": round(max(pauses), 1),
    }


def readable(variant: str, folder: Path) -> bool:
    """Whether a new process could go on; any error of any kind means that it could not."""
    try:
        storage = VARIANTS[variant](folder)
        storage.get_all_trials(storage.get_study_id_from_name("s"))
    except Exception:  # what it is does not matter here
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/sweep_storage.json")
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=90, help="limit of one queue")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = [
        measure(variant, options.trials, options.workers, options.seconds, kill_every, seed)
        for kill_every in (0.0, 1.0)
        for variant in VARIANTS
        for seed in range(2)
    ]
    versions = {name: metadata.version(name) for name in ("optuna", "sqlalchemy")}
    write_atomically(options.out, json.dumps({"rows": rows, "versions": versions}, indent=2) + "\n")
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
