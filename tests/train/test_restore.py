"""A run that is killed, at any moment and as often as you like, ends with the bits of one that was not."""

from __future__ import annotations

import dataclasses
import multiprocessing
import random
import shutil
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch

from brevitas_a2q.train import _checkpoints as checkpoints
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._result import EpochResult, RunResult
from brevitas_a2q.train._run import run


class KilledError(Exception):
    """Stands for a signal, at a place of our choosing."""


def timeless(result: RunResult) -> dict[str, object]:
    """All that must not depend on interruptions."""
    curve = tuple(dataclasses.replace(epoch, seconds=0.0) for epoch in result.curve)
    return dataclasses.replace(result, seconds=0.0, curve=curve).to_json()


def weights(out: Path) -> dict[str, torch.Tensor]:
    """Everything in the last checkpoint: parameters, statistics, the optimizer's moments."""
    last = checkpoints.latest_checkpoint(out / "checkpoints")
    assert last is not None
    return dict(last.tensors)


def assert_same_run(out: Path, reference: Path) -> None:
    assert timeless(RunResult.load(out / "result.json")) == timeless(RunResult.load(reference / "result.json"))
    ours, theirs = weights(out), weights(reference)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name in ("network.onnx", "certificate.json", "float.safetensors"):
        assert (out / name).read_bytes() == (reference / name).read_bytes(), name


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Here and in the processes that are started; sums in another order have other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def reference(short: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupts."""
    out = tmp_path_factory.mktemp("whole")
    run(short, out)
    return out


def start(config: RunConfig, out: Path) -> ForkServerProcess:
    """The run in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["brevitas_a2q.train._run"])
    process = context.Process(target=run, args=(config, out))
    process.start()
    return process


def test_killed_at_random_moments(short: RunConfig, reference: Path, tmp_path: Path) -> None:
    kills = 0
    while not (tmp_path / "result.json").exists():
        process = start(short, tmp_path)
        # Later and later, so that epochs come to an end between two kills on a slow machine too.
        process.join(random.uniform(0.2, 1.2 * (kills + 1)))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        assert process.exitcode in (0, -9)
    assert kills > 0
    assert_same_run(tmp_path, reference)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (checkpoints, "save_tensors", 1),  # nothing is written yet
        (Path, "rename", 2),  # both files are there, but not under their name; the float phase is done
        (shutil, "rmtree", 5),  # two checkpoints are there, one of each phase
        (checkpoints, "save_tensors", 5),  # the last epoch
    ],
)
def test_killed_while_saving(
    owner: object,
    name: str,
    call: int,
    short: RunConfig,
    reference: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, calls = getattr(owner, name), 0

    def killed(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KilledError
        return whole(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(KilledError):
            run(short, tmp_path)
    run(short, tmp_path)
    assert_same_run(tmp_path, reference)


def test_killed_before_the_result(
    short: RunConfig, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(reference, tmp_path, dirs_exist_ok=True)
    for name in ("result.json", "network.onnx"):
        (tmp_path / name).unlink()
    epochs: list[EpochResult] = []
    run(short, tmp_path, epochs.append)
    assert epochs == []
    assert_same_run(tmp_path, reference)


def test_a_finished_run_is_not_done_again(short: RunConfig, reference: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brevitas_a2q.train._run._train", None)
    assert run(short, reference) == RunResult.load(reference / "result.json")
