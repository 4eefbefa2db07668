"""Which embedded storage survives several processes and kills: SQLite as Optuna opens it, SQLite as we do, the journal.

Several processes take trials from one queue, until it is empty; every few trials one of them is killed and replaced.
Counted: trials that two processes took, processes that ended with an error, the longest time in which nobody finished a
trial, and whether the storage can be opened and read at the end. And what a kill in the middle of a write does, which
random kills seldom meet: how long others wait before they can write, and whether they can read.

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
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState, create_trial

from brevitas_a2q._files import write_atomically
from brevitas_a2q.sweep._storage import open_storage

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


def lines(path: Path) -> int:
    """How many there are."""
    return path.read_text().count("\n") if path.exists() else 0


def measure(variant: str, trials: int, workers: int, seconds: float, kill_every: int, seed: int) -> dict[str, Any]:
    """One queue, emptied under kills."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = optuna.create_study(storage=VARIANTS[variant](folder), study_name="s")
        for _ in range(trials):
            study.add_trial(create_trial(state=TrialState.WAITING))
        started = time.time()
        pool = [start(variant, folder) for _ in range(workers)]
        kills, failures, next_kill = 0, 0, kill_every
        while any(process.is_alive() for process in pool) and time.time() - started < seconds:
            time.sleep(0.02)
            if kill_every and lines(folder / "taken") >= next_kill:
                time.sleep(rng.uniform(0, 0.1))
                rng.choice(pool).kill()
                kills, next_kill = kills + 1, lines(folder / "taken") + rng.randint(1, 2 * kill_every - 1)
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


def killed_while_writing(variant: str, torn: bool) -> dict[str, Any]:
    """A process is killed with its write done but its lock held; with ``torn``, half of the write is on the disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = optuna.create_study(storage=VARIANTS[variant](folder), study_name="s")
        victim = CONTEXT.Process(target=_die_writing, args=(variant, folder), daemon=True)
        victim.start()
        victim.join()
        assert victim.exitcode == -signal.SIGKILL
        journal = folder / "sweep.journal"
        if torn and journal.exists():
            journal.write_bytes(journal.read_bytes()[:-8])
        started = time.time()
        study.set_user_attr("after", 1)
        waited = time.time() - started
        with suppress(ValueError):  # the journal's error when it reads on
            study.set_user_attr("and after that", 2)
        return {
            "storage": variant,
            "write_torn": torn,
            "next_write_waits_seconds": round(waited, 1),
            "readable_after_it": readable(variant, folder),
        }


def _die_writing(variant: str, folder: Path) -> None:
    study = optuna.load_study(study_name="s", storage=VARIANTS[variant](folder))
    if variant.startswith("journal"):
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # the journal's last step before it unlocks
    else:
        engine = study._storage._backend.engine  # type: ignore[attr-defined]
        sqlalchemy.event.listen(engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    study.set_user_attr("last", 0)


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
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=120, help="limit of one queue")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = [
        measure(variant, options.trials, options.workers, options.seconds, kill_every, seed)
        for kill_every in (0, 5)
        for variant in VARIANTS
        for seed in range(2)
    ]
    kills = [killed_while_writing(variant, torn) for variant in VARIANTS for torn in (False, True)]
    kills = [row for row in kills if row["storage"].startswith("journal") or not row["write_torn"]]
    versions = {name: metadata.version(name) for name in ("optuna", "sqlalchemy")}
    document = {"rows": rows, "killed_while_writing": kills, "versions": versions}
    write_atomically(options.out, json.dumps(document, indent=2) + "\n")
    write_atomically(options.out.with_suffix(".md"), table(document))
    print(table(document))


def table(document: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    columns = ("storage", "kills", "seconds", "taken_by_two", "finished", "longest_pause_seconds")
    columns += ("processes_ended_by_an_error", "readable_at_the_end")
    lines = _lines(document["rows"], columns)
    columns = ("storage", "write_torn", "next_write_waits_seconds", "readable_after_it")
    return "\n".join([*lines, "", *_lines(document["killed_while_writing"], columns), ""])


def _lines(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    heading = f"| {' | '.join(name.replace('_', ' ') for name in columns)} |"
    return [heading, "|---" * len(columns) + "|", *(f"| {' | '.join(str(row[c]) for c in columns)} |" for row in rows)]


if __name__ == "__main__":
    main()
