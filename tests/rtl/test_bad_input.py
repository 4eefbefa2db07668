"""What goes wrong around a build ends in one line and a status, and a later run goes on."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import OPTIONS

from brevitas_a2q._cli.main import main
from brevitas_a2q.errors import A2QError, DataError, RtlError
from brevitas_a2q.rtl import _build, _place_route, _synthesis
from brevitas_a2q.rtl._build import build
from brevitas_a2q.rtl._simulators import Simulator
from brevitas_a2q.rtl._tools import json_of, run_tool


def program(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def command(network: Path, out: Path, *words: str) -> list[str]:
    return ["build", str(network), "--part", "xczu7ev", "--target-fps", "600000", "--out", str(out), *words]


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 1
    return lines[0]


def test_a_unit_that_cannot_be_synthesised_ends_the_command_with_a_line(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyosys")

    def counting(memories: Path, batch: list[Any], folder: Path, family: str) -> None:
        for key, _ in batch:
            (folder / f"{key}.json").write_text('{"lut": 1}')

    def failing(memories: Path, batch: list[Any], folder: Path, family: str) -> None:
        if any(instance.module == "matrix_unit" for _, instance in batch):
            raise RtlError("failed with status 1: ERROR: no such cell", where="synthesis")
        counting(memories, batch, folder, family)

    monkeypatch.setattr(_synthesis, "_run", failing)
    assert main(command(network, tmp_path / "out", "--synthesize")) == 2
    assert "were not synthesised" in error_line(capsys)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["failed_synthesis"]
    assert not report["holds"]
    assert report["synthesis"]["lut"] > 0  # the others were
    monkeypatch.setattr(_synthesis, "_run", counting)
    kept = next((tmp_path / "out" / "synth").glob("*.json"))
    kept.write_text("{")  # cut off when a disk was full: done again
    assert main(command(network, tmp_path / "out", "--synthesize")) == 0
    assert json.loads(kept.read_text()) == {"lut": 1}


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("exit 0", 0o644, "cannot be started"),
        ("echo 'ERROR: too small'; exit 3", 0o755, "status 3: ERROR: too small"),
        ("kill -SEGV $$", 0o755, "ended by SIGSEGV"),
    ],
)
def test_a_tool_that_fails_is_named_with_how(text: str, mode: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(RtlError, match=message) as caught:
        run_tool([program(tmp_path / "tool", text, mode)], "the tool", tmp_path)
    assert str(caught.value).startswith("the tool: ")


def test_what_a_tool_writes_is_kept_where_there_is_room(tmp_path: Path) -> None:
    with pytest.raises(RtlError, match=r"failed\.log"):
        run_tool(["sh", "-c", "echo all of it; exit 1"], "the tool", tmp_path, log=tmp_path)
    assert (tmp_path / "failed.log").read_text() == "all of it\n"
    with pytest.raises(RtlError, match="status 1"):
        run_tool(["sh", "-c", "exit 1"], "the tool", tmp_path, log=tmp_path / "nowhere")
    with pytest.raises(RtlError, match="JSON"):
        json_of("Segmentation", "the tool")


def test_a_simulator_that_crashes_ends_the_command_with_a_line_and_the_next_run_goes_on(
    network: Path, tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if simulator.name != "icarus":
        pytest.skip("Icarus is not installed")
    tools = tmp_path / "tools"
    tools.mkdir()
    program(tools / "vvp", "kill -SEGV $$")
    words = command(network, tmp_path / "out", "--simulate", "1", "--simulator", "icarus")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        assert main(words) == 2
    assert "vvp: was ended by SIGSEGV" in error_line(capsys)
    assert main(words) == 0
    (tmp_path / "out" / "sim" / "result.json").write_text("{")  # of a run that ended in its middle
    assert main(words) == 0


def test_layers_to_prove_are_known_before_anything_is_done(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyosys")
    assert main(command(network, tmp_path / "out", "--prove", "nothing")) == 2
    assert "no layer 'nothing'" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_every_layer_is_proved_where_all_are_asked(network: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyosys")
    report = build(network, tmp_path / "out", prove_layers=("all",), **OPTIONS)
    assert len(report.proofs) == 3
    assert all(proof.holds for proof in report.proofs)


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 3, 6, 6)), np.full((1, 2, 6, 6), np.nan), np.zeros((0, 2, 6, 6)), np.zeros((1, 2, 6, 6), complex)],
)
def test_inputs_that_are_none_are_refused_before_anything_is_written(
    images: Any, network: Path, tmp_path: Path, simulator: Simulator
) -> None:
    with pytest.raises(DataError):
        build(network, tmp_path / "out", inputs=images, simulator=simulator.name, **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(network: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises((A2QError, OSError), match="out"):
        build(network, tmp_path / "out", **OPTIONS)


def test_a_router_that_fails_ends_the_command_with_a_line(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyosys")
    monkeypatch.setattr(_place_route, "run_yosys", lambda *_: "")
    for module in (_place_route, _build):
        monkeypatch.setattr(module, "need_router", lambda: ["sh", "-c", "echo 'ERROR: no place left'; exit 1"])
    assert main(command(network, tmp_path / "out", "--place-and-route", "ecp5")) == 2
    assert "nextpnr-ecp5: failed with status 1: ERROR: no place left" in error_line(capsys)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["placed"] is None
