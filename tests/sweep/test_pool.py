"""Whatever is killed, every cell is done once: workers at random, the parent of a pool, all at once, and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from chaos import VALUES
from toy import FullDiskError, ToyConfig, ToyJob

from brevitas_a2q.sweep._pool import run_sweep
from brevitas_a2q.sweep._queue import Queue
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._storage import open_storage
from brevitas_a2q.sweep._study import DIED, END, RELEASED
from brevitas_a2q.sweep._worker import NoSpaceError, Work

HERE = Path(__file__).parent
CELLS = 8


def check(address: str, out: Path) -> Counter[str | None]:
    """One result for every cell, trained to its end, each epoch once; how the lost trials ended."""
    with open_storage(address) as storage:
        queue = Queue(storage, Space.from_dict(VALUES, ToyConfig))
        states = Counter(trial.state.name for trial in queue.trials())
        assert states["COMPLETE"] == CELLS
        assert set(states) <= {"COMPLETE", "FAIL"}
        assert queue.settled()
        ends = Counter(trial.user_attrs.get(END) for trial in queue.trials())
    runs = list(out.glob("runs/*"))
    assert len(runs) == CELLS
    for run in runs:
        assert (run / "result.json").exists()
        # A kill between a file and its line in the log leaves the line out; none is ever there twice.
        done = [line for line in (run / "log").read_text().split("\n") if line.startswith(("epoch", "finished"))]
        assert done == sorted(set(done))
    return ends


@pytest.mark.parametrize(("address", "kills"), [("sqlite", 8), ("postgresql", 8)], indirect=["address"])
def test_random_kills(address: str, kills: int, tmp_path: Path) -> None:
    words = [sys.executable, str(HERE / "chaos.py"), address, str(tmp_path), str(kills), "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    ends = check(address, tmp_path)
    assert ends[DIED] > 0


def start_pool(address: str, out: Path, seconds_per_epoch: float) -> subprocess.Popen[str]:
    words = [sys.executable, str(HERE / "pool.py"), address, str(out), str(seconds_per_epoch)]
    # Where the tests run in the background of a shell, interrupts are ignored, and would be by what they start.
    return subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )


def logged(out: Path, pattern: str) -> int:
    """How many lines in the logs of the runs match."""
    return len(re.findall(pattern, "".join(path.read_text() for path in out.glob("runs/*/log"))))


def wait_for(out: Path, pattern: str, count: int) -> None:
    """Until this many lines in the logs of the runs match."""
    until = time.monotonic() + 100
    while time.monotonic() < until:
        if logged(out, pattern) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {pattern} in time")


def workers(parent: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(parent.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_pool_replaces_its_dead_and_whatever_is_killed_can_be_started_again(address: str, tmp_path: Path) -> None:
    pool = start_pool(address, tmp_path, 0.2)
    wait_for(tmp_path, "epoch", 1)
    orphans = workers(pool)
    assert orphans
    orphans[0].kill()
    wait_for(tmp_path, "finished", 2)
    orphans = workers(pool)
    pool.kill()  # its workers see that, and stop
    pool.communicate()
    assert not psutil.wait_procs(orphans, timeout=60)[1]
    begun = logged(tmp_path, "begin")
    pool = start_pool(address, tmp_path, 2.0)  # so slow that it cannot be done when the signal comes
    wait_for(tmp_path, "begin", begun + 1)
    pool.send_signal(signal.SIGINT)
    assert pool.communicate(timeout=100)[1].count("KeyboardInterrupt") == 1
    assert pool.returncode == 130
    with open_storage(address) as storage:
        assert not Queue(storage, Space.from_dict(VALUES, ToyConfig)).running()
    pool = start_pool(address, tmp_path, 0.02)
    assert pool.wait(timeout=200) == 0, pool.communicate()[1]
    pool.communicate()
    # Whether a kill hits a run or the time between two is chance; the signal hits one that cannot be done.
    assert check(address, tmp_path)[RELEASED] >= 1


def test_a_full_disk_ends_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE))  # of the workers, which are given a job of toy.py
    address, job = f"sqlite:///{tmp_path / 'sweep.db'}", ToyJob(0.05, failing=tuple(range(100)), crash=FullDiskError)
    given = Work(Space.from_dict(VALUES, ToyConfig), address, tmp_path, job)
    with pytest.raises(NoSpaceError, match=str(tmp_path)):
        run_sweep([given, given])
    with open_storage(address) as storage:
        queue = Queue(storage, Space.from_dict(VALUES, ToyConfig))
        assert {trial.user_attrs.get(END) for trial in queue.trials()} <= {RELEASED, None}


def test_two_folders_that_do_not_see_each_other_share_one_storage(address: str, tmp_path: Path) -> None:
    """As on two machines: the one that is left does the other's run from its beginning."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    first = subprocess.Popen([sys.executable, str(HERE / "chaos.py"), address, str(theirs), "0", "0"])
    wait_for(theirs, "epoch", 1)
    group = [*psutil.Process(first.pid).children(), psutil.Process(first.pid)]
    for process in group:
        os.kill(process.pid, signal.SIGKILL)
    first.wait()
    words = [sys.executable, str(HERE / "chaos.py"), address, str(ours), "0", "0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    with open_storage(address) as storage:
        queue = Queue(storage, Space.from_dict(VALUES, ToyConfig))
        complete = [trial for trial in queue.trials() if trial.state.name == "COMPLETE"]
    assert len(complete) == CELLS
    assert Counter(trial.user_attrs["run"] for trial in complete) == dict.fromkeys(queue.space.cells, 1)
