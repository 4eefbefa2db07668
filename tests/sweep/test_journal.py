"""A journal whose last line a killed process or a full disk left unfinished goes on after the line before."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from brevitas_a2q.errors import SweepError
from brevitas_a2q.sweep._storage import open_storage


def numbers(path: Path, more: int = 0) -> list[int]:
    """Numbers of the trials of a journal's study, after this many have been added."""
    with open_storage(f"journal:{path}") as storage:
        study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
        for _ in range(more):
            study.add_trial(optuna.trial.create_trial(value=1.0))
        return [trial.number for trial in study.trials]


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_torn_last_line_is_mended(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "sweep.log"
    numbers(path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert numbers(path) == [0, 1]
    assert numbers(path, 2) == [0, 1, 2, 3]
    assert numbers(path) == [0, 1, 2, 3]


def test_a_torn_first_line_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "sweep.log"
    path.write_bytes(b'{"op_co')
    assert numbers(path, 1) == [0]


def test_a_damaged_line_inside_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sweep.log"
    numbers(path, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:9] + b"".join(lines[2:]))
    damaged = path.read_bytes()
    with pytest.raises(SweepError, match=r"sweep\.log: cannot be used"):
        numbers(path)
    assert path.read_bytes() == damaged


def test_a_text_without_an_end_of_line_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("what I have to do")
    with pytest.raises(SweepError, match=r"notes\.txt: cannot be used .line 1 is no record"):
        numbers(path)
    assert path.read_text() == "what I have to do"
