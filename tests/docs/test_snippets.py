"""Every snippet of the README and of the pages runs, where nothing says why it cannot.

``<!-- not run: REASON -->`` above a snippet is the only way out. Names that a page takes as given (a model, inputs,
``network.onnx``) are those of a small network; sample configurations are those of ``examples`` with an epoch each.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from brevitas_a2q import A2QConfig, constrain_, export_qonnx
from brevitas_a2q._cli.main import main

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"(?P<above>[^\n]*\n)?^```(?P<kind>python|sh|bash|console)\n(?P<body>.*?)^```", re.M | re.S)
SKIP = re.compile(r"<!-- not run: (?P<reason>[^>]{10,}) -->")
MODULE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))

def load():
    x = torch.randn(240, 12, generator=torch.Generator().manual_seed(1))
    return x, x[:, :3].argmax(1)
"""


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page."""

    page: str
    line: int
    kind: str
    body: str
    skipped: str | None


def snippets() -> list[Snippet]:
    """Of all pages, in their order."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            skip = SKIP.search(match["above"] or "")
            line = text[: match.start("body")].count("\n")
            found.append(Snippet(path.name, line, match["kind"], match["body"], skip and skip["reason"]))
    return found


PAGES = sorted({snippet.page for snippet in snippets()})


def test_there_are_snippets_and_few_are_left_out() -> None:
    found = snippets()
    assert len(found) > 15
    assert sum(one.skipped is None for one in found) > len(found) / 2


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, torch.Tensor, Path]:
    """A small converted network, inputs, and its file."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.features = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(),
    )  # fmt: skip
    model.rest = nn.Sequential(nn.Flatten(), nn.Linear(6 * 16, 5))
    inputs = torch.rand(4, 1, 8, 8)
    constrain_(model.eval(), A2QConfig(accumulator_bit_width=14, weight_bit_width=4, activation_bit_width=4), inputs)
    path = tmp_path_factory.mktemp("given") / "network.onnx"
    export_qonnx(model, inputs[:1], path)
    return model, inputs, path


@pytest.fixture
def world(
    network: tuple[nn.Module, torch.Tensor, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A working folder with the files that pages speak of, and the names that they take as given."""
    monkeypatch.chdir(tmp_path)
    model, inputs, path = network
    shutil.copy(path, tmp_path / "network.onnx")
    (tmp_path / "my_module.py").write_text(MODULE)
    np.savez(tmp_path / "images.npz", x=np.random.default_rng(0).normal(size=(96, 12)).astype(np.float32))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random(size=(4, 1, 8, 8)).astype(np.float32))
    np.savez(tmp_path / "y.npz", y=np.arange(4))
    (tmp_path / "examples").mkdir()
    for name in ("cfg.yaml", "space.yaml"):
        values = yaml.safe_load((ROOT / "examples" / name).read_text())
        base = values.get("base", values)
        base["float_recipe"]["epochs"] = base["recipe"]["epochs"] = 1
        if "grid" in values:
            values["grid"] = {"method": ["projected"], "P": [11], "seed": [0]}
        for place in (tmp_path / "examples" / name, tmp_path / name):
            place.write_text(yaml.safe_dump(values))
    plain = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )  # fmt: skip
    return {
        "model": model,
        "float_model": plain.eval(),
        "example_inputs": inputs,
        "example_input": inputs[:1],
        "images": torch.rand(64, 1, 8, 8),
    }


def _command(line: str) -> None:
    words = shlex.split(line, comments=True)
    if not words:
        return
    target = None
    if ">" in words:
        target = words[words.index(">") + 1]
        words = words[: words.index(">")]
    assert words[0] == "brevitas-a2q", f"{line}: run it, or say above the snippet why not"
    if "--workers" in words:  # the sample has one cell: another worker would load everything and find nothing to do
        words[words.index("--workers") + 1] = "1"
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        status = main(words[1:])
    assert status == 0, line
    if target is not None:
        Path(target).write_text(stream.getvalue())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page: str, world: dict[str, Any]) -> None:
    names: dict[str, Any] = dict(world)
    if page in ("conversion.md", "ptq.md"):  # these begin with a float network
        names["model"] = names["float_model"]
    for snippet in snippets():
        if snippet.page != page or snippet.skipped is not None:
            continue
        if snippet.kind == "python":
            exec(compile(snippet.body, f"{page}:{snippet.line}", "exec"), names)  # our own pages
            continue
        for line in snippet.body.replace("\\\n", " ").splitlines():
            _command(line.removeprefix("$ "))


SAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_samples_are_valid(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "grid" in yaml.safe_load(sample.read_text()):
        from brevitas_a2q.sweep._space import Space
        from brevitas_a2q.sweep._training import Training

        assert len(Space.from_yaml(sample, Training().kind).cells) > 1
    else:
        assert main(["train", "--config", str(sample), "--dry-run"]) == 0
