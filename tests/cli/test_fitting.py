"""Tables on narrow terminals, behind a real pseudo-terminal: names, verdicts and what is missing are there."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from oracle_data import ORACLE
from rich.console import Console
from rich.table import Table

from brevitas_a2q._cli.fitting import print_fitted
from brevitas_a2q._cli.main import main
from brevitas_a2q._ir.metadata import ACCUMULATOR_BIT_WIDTH
from brevitas_a2q.export._cleaning import set_property
from brevitas_a2q.sweep._queue import Queue
from brevitas_a2q.sweep._space import Space
from brevitas_a2q.sweep._storage import open_storage
from brevitas_a2q.train import RunConfig

TFC = str(ORACLE / "models/tfc_w4a4_a2q12.onnx")
LONG = "features.denseblock1.denselayer1.conv2.weight_quant"


def _table(rows: int = 3) -> Table:
    table = Table(title="A title", title_justify="left")
    table.add_column("layer")
    for heading in ("K", "lowest", "highest", "target"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("holds")
    for index in range(rows):
        table.add_row(f"{LONG}{index}", "1,152", "-123,456", "123,456", "16", "[green]yes[/green]")
    table.add_row("other", *[""] * 4, "not covered: its input is no tensor of integers at one scale")
    return table


def _printed(width: int) -> str:
    console = Console(width=width, force_terminal=True, file=io.StringIO(), color_system=None)
    print_fitted(_table(), console, ("holds", "target"))
    return str(console.file.getvalue())


def test_the_first_column_stands_once_though_it_is_asked_for() -> None:
    for width in (40, 90, 200):
        console = Console(width=width, file=io.StringIO())
        print_fitted(_table(), console, ("layer", "holds"))
        assert str(console.file.getvalue()).count("other") == 1


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40, 20])
def test_names_and_verdicts_stay_whole(width: int) -> None:
    text = _printed(width)
    assert all(f"{LONG}{index}" in text for index in range(3))
    assert text.count("yes") == 3
    assert len(re.findall(r"\b16\b", text)) == 3
    assert "not covered" in text
    if width == 200:
        assert "lowest" in text
        assert "too narrow" not in text
    if width < 80:
        assert "-123,456" not in text


def test_what_is_left_out_is_said() -> None:
    assert "too narrow for lowest, highest" in _printed(100).replace("\n", " ")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, list[str]], tuple[int, str]]:
    """Runs a command with standard output on a pseudo-terminal of so many columns."""

    def run(columns: int, words: list[str]) -> tuple[int, str]:
        near, far = pty.openpty()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        parts: list[bytes] = []
        reader = threading.Thread(target=_read, args=(near, parts))
        reader.start()
        with os.fdopen(far, "w") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            status = main(words)
        reader.join()
        os.close(near)
        text = b"".join(parts).decode().replace("\r\n", "\n")
        return status, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    return run


def _read(end: int, parts: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # the other end was closed
        while part := os.read(end, 65536):
            parts.append(part)


def _words(command: str, folder: Path) -> list[str]:
    np.savez(folder / "x.npz", **{"x.281": np.zeros((1, 784), np.float32)})
    places = {"{x}": str(folder / "x.npz"), "{folder}": str(folder)}
    words = COMMANDS[command]
    for mark, place in places.items():
        words = [word.replace(mark, place) for word in words]
    return words


COMMANDS = {
    "certify": ["certify", TFC],
    "estimate": ["estimate", TFC],
    "fold": ["fold", TFC, "--target-fps", "1000"],
    "simulate": ["simulate", TFC, "--inputs", "{x}", "--accumulator-bit-width", "8"],
    "parts": ["parts"],
    "compare": ["compare", TFC.replace("_a2q12", ""), TFC, "--all"],
    "build": ["build", TFC, "--target-fps", "1000", "--out", "{folder}/accelerator"],
    "handoff": ["handoff", TFC, "--target-fps", "1000", "--out", "{folder}/finn"],
}


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_a_terminal(
    command: str, columns: int, terminal: Callable[[int, list[str]], tuple[int, str]], tmp_path: Path
) -> None:
    words = _words(command, tmp_path)
    status, text = terminal(columns, words)
    assert status == 0
    names, verdicts = NAMES[command]
    assert all(name in text for name in names), text
    assert all(re.search(verdict, text) for verdict in verdicts), text
    for line in text.splitlines():
        if line.startswith(("┃", "│", "┏", "└")):
            assert len(line) <= columns


LAYERS = ("/f/f.1/MatMul", "/f/f.4/MatMul", "/f/f.7/MatMul", "/f/f.10/MatMul")
NAMES = {
    "certify": (LAYERS, ("no target", "required")),
    "estimate": (LAYERS, ("LUT", "frames per second", "fits xczu7ev")),
    "fold": (LAYERS, ("LUT", "SetFolding")),
    "simulate": (LAYERS, ("overflows",)),
    "parts": (("xczu7ev", "xc7z020", "xcu250"), ("LUT",)),
    "compare": (LAYERS, ("total",)),
    "build": (LAYERS, ("LUT",)),
    "handoff": (LAYERS, ("LUT", "fits xczu7ev")),
}


def _with_targets(file: Path, bits: int) -> str:
    """The file with this target width on every layer."""
    model = onnx.load(TFC)
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor for tensor in model.graph.input if tensor.name not in initializers]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for node in model.graph.node:
        if node.op_type == "MatMul":
            set_property(node, ACCUMULATOR_BIT_WIDTH, bits)
    onnx.save(model, file)
    return str(file)


def test_verdicts_on_a_terminal(tmp_path: Path, terminal: Callable[[int, list[str]], tuple[int, str]]) -> None:
    held = _with_targets(tmp_path / "held.onnx", 24)
    status, text = terminal(40, ["certify", held])
    assert status == 0
    assert text.count("holds yes") == 4
    assert "holds: no input can overflow" in text
    broken = _with_targets(tmp_path / "broken.onnx", 7)
    status, text = terminal(40, ["certify", broken])
    assert status == 1
    assert text.count("holds NO") == 4
    assert "DOES NOT HOLD: /f/f.1/MatMul, /f/f.4/MatMul, /f/f.7/MatMul and 1 more" in text


@pytest.mark.parametrize("columns", [80, 40])
def test_findings_on_a_terminal(
    columns: int, builder: Callable[..., Any], terminal: Callable[[int, list[str]], tuple[int, str]]
) -> None:
    b = builder()
    sums = b.node("Conv", b.quant("x", 0.5, 4, 1, zero_point=3), b.weights(np.ones((3, 2, 1, 1))))
    b.node("Conv", b.quant(sums), b.weights(np.ones((2, 3, 1, 1))))
    status, text = terminal(columns, ["check-finn", str(b.save())])
    assert status == 1
    assert {"FINN-02", "FINN-03"} <= set(re.findall("FINN-[0-9]+", text))
    assert "Quant" in text
    for line in text.splitlines():
        if line.startswith(("┃", "│", "┏", "└")):
            assert len(line) <= columns


def test_a_sweep_on_a_terminal(terminal: Callable[[int, list[str]], tuple[int, str]], tmp_path: Path) -> None:
    grid = {"seed": [0], "P": [10], "rate": [1e30]}
    storage = f"sqlite:///{tmp_path / 'sweep.db'}"
    with open_storage(storage) as opened:  # as a worker leaves it whose only run fails
        queue = Queue(opened, Space.from_dict({"name": "digits", "grid": grid}, RunConfig))
        queue.fill()
        claim = queue.claim()
        assert claim is not None
        assert queue.fail(claim, "found a loss of nan in epoch 1 of quantized training; lower recipe.learning_rate")
    for columns in (80, 40):
        status, text = terminal(columns, ["sweep", "status", "--out", str(tmp_path)])
        assert status == 0
        words = " ".join(re.sub("[│┃]", " ", text).split())
        assert "failed" in words
        assert "seed = 0" in words or "too narrow for settings" in words
        for line in text.splitlines():
            if line.startswith(("┃", "│", "┏", "└")):
                assert len(line) <= columns
