"""Names in a file are text: no command lets them style its output or drive the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_a2q._cli.main import main

BAD = "[red]x[/red]\x1b[31mE\x07\u202e[link=http://e]"
DESIGN = ("--part", "xc7z020clg400-1", "--target-fps", "10")
COMMANDS: dict[str, tuple[str, ...]] = {
    "certify": (),
    "check-finn": (),
    "simulate": ("--inputs", "{folder}/x.npz"),
    "estimate": DESIGN,
    "fold": DESIGN,
    "fold, the curve": ("--pareto", *DESIGN[:2]),
    "compare": ("{file}", *DESIGN, "--all"),
    "handoff": ("--out", "{folder}/out"),
    "build": (*DESIGN, "--out", "{folder}/out"),
}


@pytest.fixture
def hostile(builder: Callable[..., Any], tmp_path: Path) -> Path:
    b = builder(shape=(1, 2, 4, 4))
    b.node("Conv", b.quant("x"), b.weights(np.ones((2, 2, 1, 1))))
    b.node("Conv", b.quant(b.nodes[-1].output[0]), b.weights(np.ones((2, 2, 1, 1))))
    for node in b.nodes:
        node.name = BAD + node.name
        node.output[0] = BAD + node.output[0]
        node.input[:] = [BAD + name if name.startswith("t") else name for name in node.input]
    model = b.model(b.nodes[-1].output[0])
    model.graph.name = BAD
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2, 4, 4), np.float32))
    path = tmp_path / "net[red]work.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_names_are_shown_as_they_are(command: str, hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [word.format(file=hostile, folder=hostile.parent) for word in COMMANDS[command]]
    assert main([command.partition(",")[0], str(hostile), *options]) in (0, 1)
    shown = "".join(capsys.readouterr())
    assert shown
    assert not any(char in shown for char in "\x1b\x07\u202e")
    assert "[red]" in shown or command in ("handoff", "fold, the curve")
