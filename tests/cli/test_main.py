"""The command line as a user meets it: help, one-line errors, exit status."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brevitas_a2q import __version__
from brevitas_a2q._cli.main import _COMMANDS, main


def one_line_error(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed on standard error: one line, no traceback, nothing on standard output."""
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("brevitas-a2q: error: ")
    return printed.err


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    printed = capsys.readouterr().out
    for name in _COMMANDS:
        assert name in printed


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: brevitas-a2q {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quickstar"]) == 2
    assert "quickstar" in one_line_error(capsys)


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_unknown_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--no-such-option"]) == 2
    assert "--no-such-option" in one_line_error(capsys)


@pytest.mark.parametrize("name", ["certify", "check-finn", "estimate", "fold"])
def test_bad_files_get_one_line_and_status_2(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [] if name in {"certify", "check-finn"} else ["--part", "xczu7ev-ffvc1156-2-e", "--target-fps", "100"]
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"\x00\xffthis is no protobuf")
    for path in (garbage, tmp_path / "missing.onnx", tmp_path):
        assert main([name, str(path), *options]) == 2
        assert path.name in one_line_error(capsys)


def test_estimating_starts_without_torch() -> None:
    check = "import sys, brevitas_a2q._cli.estimate, brevitas_a2q.hw; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_failure_of_ours_is_one_line_with_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr("brevitas_a2q._cli.parts.emit_json", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["parts", "--json"]) == 3
    line = one_line_error(capsys)
    assert "failed with KeyError" in line
    (details,) = tmp_path.iterdir()
    assert str(details) in line
    assert "Traceback" in details.read_text()


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_says_where_the_details_of_its_failure_are(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("one line\nand another")

    command = importlib.import_module(f"brevitas_a2q._cli.{_COMMANDS[name][0]}").command
    monkeypatch.setattr(type(command), "parse_args", lambda *_: [])
    monkeypatch.setattr(type(command), "invoke", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main([name]) == 3
    (details,) = tmp_path.iterdir()
    assert f"failed with RuntimeError: one line and another; a bug: please report it with {details}" in one_line_error(
        capsys
    )
    assert "in fail" in details.read_text()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_closed_pipe_is_silent(options: list[str]) -> None:
    command = [sys.executable, "-m", "brevitas_a2q._cli.main", "parts", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


@pytest.mark.parametrize("words", [["certify", "--help"], ["parts"], ["parts", "--json"], ["--version"]], ids=str)
def test_nobody_reads_on_and_nothing_is_said(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "brevitas_a2q._cli.main", *words]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


LOADING = """
import os, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == "brevitas_a2q":
            os.kill(os.getpid(), signal.SIGINT)
from brevitas_a2q_command import main
sys.meta_path.insert(0, Finder)
sys.exit(main())
"""


def test_an_interrupt_while_the_package_is_loaded_is_one_line() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nbrevitas-a2q: error: interrupted\n")


def test_an_interrupt_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("brevitas_a2q._cli.parts.emit_json", interrupt)
    assert main(["parts", "--json"]) == 130
    # The first line is the terminal's, which shows ^C.
    assert capsys.readouterr().err.split("\n") == ["", "brevitas-a2q: error: interrupted", ""]
