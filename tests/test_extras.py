"""The base does its work without what the extras bring, and says which extra is missing where one is needed."""

from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from brevitas_a2q._extras import EXTRA_OF, need
from brevitas_a2q.errors import MissingExtraError

ROOT = Path(__file__).parents[1]
TORCH = ("torch", "brevitas", "numba", "onnxscript", "onnxruntime", "qonnx", "safetensors", "PIL")

# Makes packages as good as not installed in the process that runs it.
BLOCK = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {blocked!r} else found(name, package)
"""


def without(blocked: tuple[str, ...], code: str) -> str:
    """What a program prints that cannot import some packages."""
    program = BLOCK.format(blocked=set(blocked)) + code
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


BASE = """
import torch
from brevitas_a2q import A2QConfig, certify, constrain_, export_qonnx, hw, quantize_post_training_

torch.manual_seed(0)
float_model = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3))
images = torch.rand(8, 2, 8, 8)
quantize_post_training_(float_model, images, accumulator_bit_width=14)
model = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3))
constrain_(model, A2QConfig(accumulator_bit_width=14))
model(images)
model.eval()
assert certify(model, images).holds
export_qonnx(model, images[:1], FILE)
assert certify(FILE).holds
assert hw.estimate(FILE, part="xc7z020", target_fps=10).total.lut > 0
assert set(sys.modules).isdisjoint({extras!r})
print("done")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file that the base alone has made, and what it said."""
    file = tmp_path_factory.mktemp("base") / "model.onnx"
    code = f"FILE = {str(file)!r}\n" + BASE.replace("{extras!r}", repr(set(EXTRA_OF)))
    return file, without(tuple(EXTRA_OF), code)


def test_the_base_needs_no_extra(exported: tuple[Path, str]) -> None:
    assert exported[1].endswith("done\n")


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("from brevitas_a2q import sweep; sweep.Space", "sweep"),
        ("from brevitas_a2q.report import image", "report"),
        ("from brevitas_a2q.data import load_data; load_data('digits', None)", "train"),
        ("from brevitas_a2q.models import build_model; build_model('torchvision:resnet18')", "train"),
    ],
)
def test_what_needs_an_extra_names_it(code: str, extra: str) -> None:
    caught = f"""
from brevitas_a2q.errors import A2QError
try:
    {code}
except A2QError as error:
    print(error.remedy)
"""
    assert without(tuple(EXTRA_OF), caught) == f"pip install 'brevitas_a2q[{extra}]'\n"


@pytest.mark.parametrize(
    "arguments", [["quickstart"], ["sweep", "status", "--out", "x"], ["parts", "--html", "p.html"]]
)
def test_commands_that_need_an_extra_say_so_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    code = f"""
import os
os.chdir({str(tmp_path)!r})
from brevitas_a2q._cli.main import main
sys.stderr = sys.stdout
print(main({arguments!r}))
"""
    lines = without(tuple(EXTRA_OF), code).splitlines()
    assert lines[-1] == "2", lines
    assert "pip install 'brevitas_a2q[" in lines[-2]


def test_packages_that_are_there_pass() -> None:
    need("tests", *EXTRA_OF)


def test_missing_packages_are_errors_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match="sweep") as caught:
        need("sweeps", "optuna")
    assert isinstance(caught.value, ImportError)


def test_extras_bring_what_they_are_named_for() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    distributions = {"sklearn": "scikit-learn"}
    for package, extra in EXTRA_OF.items():
        assert distributions.get(package, package) in settings["options.extras_require"][extra]
        assert distributions.get(package, package) not in settings["options"]["install_requires"]


FILES = """
from brevitas_a2q._cli.main import main
import contextlib, io
for words in {commands!r}:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = main(words)
    print(words[0], status)
"""


def test_files_need_no_torch(exported: tuple[Path, str], tmp_path: Path) -> None:
    file, part = str(exported[0]), ["--part", "xc7z020", "--target-fps", "10"]
    commands = [
        ["certify", file],
        ["estimate", file, *part],
        ["fold", file, *part, "--out", str(tmp_path / "f.json")],
        ["compare", file, file, "--part", "xc7z020"],
        ["parts"],
    ]
    said = without((*EXTRA_OF, *TORCH), FILES.format(commands=commands)).split()
    assert said[::2] == [words[0] for words in commands]
    assert set(said[1::2]) == {"0"}


def test_finns_front_door_needs_qonnx_and_no_torch(exported: tuple[Path, str], tmp_path: Path) -> None:
    file, part = str(exported[0]), ["--part", "xc7z020", "--target-fps", "10"]
    commands = [["check-finn", file], ["handoff", file, *part, "--out", str(tmp_path / "finn")]]
    absent = set(TORCH) - {"qonnx", "onnxruntime"}
    said = without((*EXTRA_OF, *absent), FILES.format(commands=commands)).split()
    assert said == ["check-finn", "0", "handoff", "0"]


@pytest.mark.parametrize("arguments", [["check-finn", "FILE"], ["simulate", "FILE", "--inputs", "x.npz"], ["train"]])
def test_commands_that_need_the_base_say_so(arguments: list[str], exported: tuple[Path, str], tmp_path: Path) -> None:
    words = [str(exported[0]) if word == "FILE" else word for word in arguments]
    code = f"""
import os
os.chdir({str(tmp_path)!r})
from brevitas_a2q._cli.main import main
sys.stderr = sys.stdout
print(main({words!r}))
"""
    lines = without((*EXTRA_OF, *TORCH), code).splitlines()
    assert lines[-1] == "2", lines
    assert lines[-2].endswith("which this command needs; pip install brevitas_a2q")


def test_the_requirements_of_files_are_of_the_base() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    base = settings["options"]["install_requires"].split()
    listed = [line for line in (ROOT / "requirements-files.txt").read_text().splitlines() if not line.startswith("#")]
    assert set(listed) <= set(base)
