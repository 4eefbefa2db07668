"""The queue's rules, on every storage: one owner, one result, nothing lost, errors kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial
from toy import FullDiskError, ToyConfig, ToyJob, outcome

from brevitas_a2q.errors import SweepError
from brevitas_a2q.sweep import _lease
from brevitas_a2q.sweep._lease import Beat, Patience, Watch, place_of, run_folder, run_lock
from brevitas_a2q.sweep._objectives import values_of
from brevitas_a2q.sweep._queue import BEAT, Claim, Queue
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._status import status_of
from brevitas_a2q.sweep._storage import open_storage
from brevitas_a2q.sweep._study import DIED, END, SURPLUS
from brevitas_a2q.sweep._summary import Summary
from brevitas_a2q.sweep._worker import NoSpaceError, Stop, Stopped, Work, work

GRID = {"name": "grid", "grid": {"seed": [0, 1], "P": [9, 10, 11]}}
QUICK = Patience(beat_seconds=0.05, grace_seconds=0.4, poll_seconds=0.02)


Opener = Callable[..., Queue]
every_storage = pytest.mark.parametrize("address", ["sqlite", "journal", "postgresql"], indirect=True)


@pytest.fixture
def queue(address: str) -> Iterator[Opener]:
    """Opens a queue, as another process would: with a connection of its own."""
    with ExitStack() as stack:
        yield lambda values=GRID: Queue(stack.enter_context(open_storage(address)), Space.from_dict(values, ToyConfig))


def finish(claim: Claim, of: Queue) -> bool:
    """As a worker does."""
    summary = Summary.of_result(outcome(ToyConfig.from_dict(of.space.values(claim.settings))))
    return of.finish(claim, summary, values_of(of.space.objectives, summary))


def states(of: Queue) -> Counter[str]:
    return Counter(trial.state.name for trial in of.trials())


@every_storage
def test_cells_are_taken_in_the_order_of_the_grid_and_each_once(queue: Opener) -> None:
    first, second = queue(), queue()
    first.fill()
    second.fill()
    taken = []
    while claim := (first if len(taken) % 2 else second).claim():
        taken.append(claim.settings)
        assert finish(claim, first)
    assert taken == list(first.space.cells.values())
    assert first.settled()
    assert second.settled()
    first.fill()
    assert first.claim() is None


@every_storage
def test_two_that_fill_at_once_queue_twice_but_run_once(queue: Opener) -> None:
    first, second = queue(), queue()
    trials = second.trials
    second.trials = list  # type: ignore[method-assign]  # has read before the first one wrote
    first.fill()
    second.fill()
    second.trials = trials  # type: ignore[method-assign]
    assert states(first) == {"WAITING": 12}
    runs = []
    while claim := second.claim():
        runs.append(claim.run)
        finish(claim, first)
    assert sorted(runs) == sorted(first.space.cells)
    assert states(first) == {"COMPLETE": 6, "FAIL": 6}
    assert Counter(trial.user_attrs.get(END) for trial in first.trials()) == {None: 6, SURPLUS: 6}


def test_a_dead_worker_is_found_by_its_lock_and_can_finish_nothing_any_more(queue: Opener, tmp_path: Path) -> None:
    ours = queue()
    ours.fill()
    claim = ours.claim()
    assert claim is not None
    assert ours.settle(claim, place_of(tmp_path))
    watch = Watch(ours, tmp_path, Patience(grace_seconds=1000))
    with run_lock(run_folder(tmp_path, claim.run)) as held:
        assert held
        watch.bury_the_dead()
        assert ours.settle(claim, place_of(tmp_path))
    watch.bury_the_dead()
    assert not ours.settle(claim, place_of(tmp_path))
    assert not finish(claim, ours)
    ours.fill()
    again = ours.claim()
    assert again is not None
    assert (again.run, again.number) == (claim.run, 6)  # before the cells that come after it in the grid


@every_storage
def test_a_worker_elsewhere_is_dead_when_its_beat_stands_still(
    queue: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(_lease, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    theirs, ours = queue(), queue()
    theirs.fill()
    alive, dead, early = (theirs.claim() for _ in range(3))
    assert alive
    assert dead
    assert early
    for claim in (alive, dead):
        assert theirs.settle(claim, "another machine")
    watch = Watch(ours, tmp_path, QUICK)  # the third one was killed before it gave any sign of life
    for count in range(4):
        assert len(ours.running()) == 3
        theirs.storage.set_trial_user_attr(alive.trial_id, BEAT, {"count": count})
        watch.bury_the_dead()
        clock[0] += 0.4 * QUICK.grace_seconds
    assert [trial.number for trial in ours.running()] == [alive.number]
    assert finish(alive, theirs)


def test_a_beat_says_when_the_trial_was_taken_away(queue: Opener) -> None:
    ours = queue()
    ours.fill()
    claim = ours.claim()
    assert claim is not None
    with Beat(ours.storage, claim.trial_id, QUICK) as beat:
        ours.bury(ours.running()[0])
        until = time.monotonic() + 20
        while not beat.taken and time.monotonic() < until:
            time.sleep(0.01)
        assert beat.taken


def test_a_run_that_kills_its_workers_ends_as_an_error(queue: Opener) -> None:
    ours = queue({"name": "deadly", "grid": {"seed": [0]}})
    for _ in range(10):
        ours.fill()
        assert ours.claim() is not None
        ours.bury(ours.running()[0])
    ours.fill()
    assert ours.settled()
    ends = [trial.user_attrs[END] for trial in ours.trials()]
    assert ends[:9] == [DIED] * 9
    assert "10 workers died" in ends[9]


@every_storage
def test_errors_are_kept_and_retried_when_asked_for(queue: Opener, address: str, tmp_path: Path) -> None:
    space = Space.from_dict(GRID, ToyConfig)
    assert work(Work(space, address, tmp_path, ToyJob(failing=(1,)), QUICK), Stop())
    ours = queue()
    assert states(ours) == {"COMPLETE": 3, "FAIL": 3}
    assert {trial.user_attrs[END] for trial in ours.trials() if trial.state is TrialState.FAIL} == {"the loss is NaN"}
    assert work(Work(space, address, tmp_path, ToyJob(), QUICK), Stop())
    assert states(ours) == {"COMPLETE": 3, "FAIL": 3}
    ours.fill(retry_failed=True)
    assert work(Work(space, address, tmp_path, ToyJob(), QUICK), Stop())
    assert states(ours) == {"COMPLETE": 6, "FAIL": 3}


def test_a_failed_run_that_is_lost_when_tried_again_is_queued_again(queue: Opener) -> None:
    ours = queue({"name": "again", "grid": {"seed": [0]}})
    ours.fill()
    claim = ours.claim()
    assert claim is not None
    ours.fail(claim, "the loss is NaN")
    ours.fill()
    assert ours.settled()
    ours.fill(retry_failed=True)
    claim = ours.claim()
    assert claim is not None
    assert [run.state for run in status_of(ours.study).runs] == ["running"]
    ours.release(claim)
    assert [run.state for run in status_of(ours.study).runs] == ["interrupted"]
    ours.fill()
    assert ours.claim() is not None


def test_unforeseen_errors_are_the_runs_own(queue: Opener, address: str, tmp_path: Path) -> None:
    space = Space.from_dict({"grid": {"seed": [0, 1]}}, ToyConfig)
    given = Work(space, address, tmp_path, ToyJob(failing=(0,), crash=RuntimeError), QUICK)
    assert not work(given, Stop(), in_fresh_process=True)
    assert work(given, Stop())
    ends = [trial.user_attrs.get(END) for trial in queue({"grid": {"seed": [0, 1]}}).trials()]
    assert ends == ["RuntimeError: the loss is NaN", None]
    assert "Traceback" in next(tmp_path.glob("runs/*/error.txt")).read_text()


@every_storage
def test_a_full_disk_is_no_runs_failure(queue: Opener, address: str, tmp_path: Path) -> None:
    values = {"grid": {"seed": [0, 1]}}
    space = Space.from_dict(values, ToyConfig)
    with pytest.raises(NoSpaceError, match=r"no space left .*; make room there; the same command then goes on"):
        work(Work(space, address, tmp_path, ToyJob(failing=(0,), crash=FullDiskError), QUICK), Stop())
    assert [run.state for run in status_of(queue(values).study).runs] == ["interrupted", "waiting"]
    assert work(Work(space, address, tmp_path, ToyJob(), QUICK), Stop())


class AfterEpochs(Stop):
    """Stops after a number of epochs."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs

    def after_epoch(self, seconds: float) -> None:
        self.epochs -= 1
        self.told = not self.epochs
        super().after_epoch(seconds)


def test_a_stop_between_epochs_leaves_the_run_to_be_gone_on_with(address: str, tmp_path: Path) -> None:
    space = Space.from_dict({**GRID, "base": {"recipe": {"epochs": 3}}}, ToyConfig)
    given = Work(space, address, tmp_path, ToyJob(), QUICK)
    assert not work(given, AfterEpochs(1))
    assert not work(given, AfterEpochs(1))
    (log,) = tmp_path.glob("runs/*/log")  # the cell begun first is gone on with first
    assert log.read_text() == "begin\nepoch 1\nbegin\nepoch 2\n"
    assert work(given, Stop())
    assert log.read_text() == "begin\nepoch 1\nbegin\nepoch 2\nbegin\nepoch 3\nfinished\n"


def test_a_run_is_left_when_its_next_epoch_would_end_too_late() -> None:
    stop = Stop(deadline=time.time() + 1000)
    stop.after_epoch(900)
    with pytest.raises(Stopped):
        stop.after_epoch(1100)
    assert stop.now


def test_another_sweep_of_the_same_name_is_refused(queue: Opener) -> None:
    queue()
    grown = {"name": "grid", "grid": {"seed": [0, 1, 2], "P": [9, 10, 11]}}
    assert len(queue(grown).space.cells) == 9
    with pytest.raises(SweepError, match="recipe of the base"):
        queue({**GRID, "base": {"recipe": {"epochs": 7}}})
    with pytest.raises(SweepError, match="objectives"):
        queue({**GRID, "objectives": ["metric", "lut"]})


def test_a_smaller_file_leaves_the_cells_of_a_larger_one_alone(queue: Opener) -> None:
    large, small = queue(), queue({"name": "grid", "grid": {"seed": [1], "P": [10]}})
    large.fill()
    claim = small.claim()
    assert claim is not None
    assert claim.settings == {"seed": 1, "quant.accumulator_bit_width": 10}
    finish(claim, small)
    assert small.claim() is None
    assert small.settled()
    assert not large.settled()


@pytest.mark.parametrize(
    ("address", "sampler"),
    [("sqlite", "nsga2"), ("sqlite", "random"), ("sqlite", "tpe"), ("postgresql", "tpe"), ("journal", "tpe")],
    indirect=["address"],
)
def test_search_does_the_trials_it_was_asked_for(queue: Opener, address: str, tmp_path: Path, sampler: str) -> None:
    values = {
        "search": {"P": {"low": 9, "high": 12}, "rate": {"low": "1e-4", "high": 0.1, "log": True}, "seed": [0, 1]},
        "objectives": ["metric", "lut"],
        "sampler": sampler,
        "trials": 8,
    }
    space = Space.from_dict(values, ToyConfig)
    assert work(Work(space, address, tmp_path, ToyJob(), QUICK), Stop())
    ours = queue(values)
    assert states(ours) == {"COMPLETE": 8}
    for trial in ours.trials():
        config = ToyConfig.from_dict(space.values(trial.params))
        assert trial.values == [outcome(config)["last"], 100.0 * config.quant.accumulator_bit_width]


def test_a_search_that_proposes_a_run_again_copies_its_result(queue: Opener, address: str, tmp_path: Path) -> None:
    values = {"search": {"P": [9, 10]}, "trials": 8, "sampler": "random"}
    given = Work(Space.from_dict(values, ToyConfig), address, tmp_path, ToyJob(), QUICK)
    assert work(given, Stop())
    ours = queue(values)
    assert states(ours) == {"COMPLETE": 8}
    logs = [path.read_text() for path in tmp_path.glob("runs/*/log")]
    assert [log.count("begin") for log in logs] == [1] * len(logs)


def test_lost_trials_of_a_search_keep_their_parameters(queue: Opener, address: str, tmp_path: Path) -> None:
    values = {"search": {"P": {"low": 9, "high": 30}}, "trials": 3}
    ours = queue(values)
    claim = ours.claim()
    assert claim is not None
    ours.bury(ours.running()[0])
    ours.fill()
    again = ours.claim()
    assert again is not None
    assert again.number != claim.number
    assert (again.run, again.settings) == (claim.run, claim.settings)
    finish(again, ours)
    assert work(Work(ours.space, address, tmp_path, ToyJob(), QUICK), Stop())
    assert states(ours) == {"COMPLETE": 3, "FAIL": 1}


def test_what_others_wrote_into_the_database_is_checked(queue: Opener) -> None:
    ours = queue({"search": {"P": {"low": 9, "high": 12}}, "trials": 3})
    key, wide = "quant.accumulator_bit_width", IntDistribution(2, 99)
    forged = create_trial(
        state=TrialState.WAITING, params={key: 99}, distributions={key: wide}, user_attrs={"run": "../../etc"}
    )
    ours.study.add_trial(forged)
    ours.study.enqueue_trial({key: "9; drop table"})
    claim = ours.claim()
    assert claim is not None
    assert claim.settings[key] in range(9, 13)
    assert len(claim.run) == 16
    assert ["99" in ours.trials()[0].user_attrs[END], ours.trials()[1].state.name] == [True, "FAIL"]
