"""The public names are those of the committed list, documented, and there in whatever order things are imported."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import brevitas_a2q

LIST = Path(__file__).parent / "public_names.txt"
FACES = ("", "bounds", "convert", "data", "errors", "export", "hw", "models", "ptq", "quant", "report", "rtl")
FACES += ("sweep", "train", "verify")
STAY = [  # acceptance and other people's programs call these
    "Int8A2QWeightPerChannelFloat",
    "Int8A2QPlusWeightPerChannelFloat",
    "Int8ProjectedA2QWeightPerChannelFloat",
    "accumulator_aware",
    "constrain_",
    "a2q_penalty",
    "ep_init_",
    "certify",
    "simulate",
    "export_qonnx",
    "quantize_post_training_",
    "hw.estimate",
    "hw.finn_node",
    "hw.vivado_unit",
    "hw.build",
]


def public() -> dict[str, object]:
    """Every public name with its value; one that the top shows, too, is under the top's name only."""
    found: dict[str, object] = {}
    for face in FACES:
        module = importlib.import_module(f"brevitas_a2q.{face}".rstrip("."))
        for name in module.__all__:
            value = getattr(module, name)
            if face == "" or name not in brevitas_a2q.__all__:
                found[f"{face}.{name}".lstrip(".")] = value
    return found


def import_everything() -> None:
    """Import every module, so that submodules had their chance to hide a name."""
    for module in pkgutil.walk_packages(brevitas_a2q.__path__, "brevitas_a2q."):
        importlib.import_module(module.name)


def test_public_names_are_the_committed_ones() -> None:
    """To change the list is to change what others may rely on: do it with a line in CHANGELOG.md."""
    assert sorted(public()) == LIST.read_text().split()


@pytest.mark.parametrize("name", STAY)
def test_names_that_stay_put(name: str) -> None:
    import_everything()
    assert name in public()
    assert callable(public()[name])


def members() -> Iterator[tuple[str, object]]:
    """Public functions, classes and modules, and the public methods and properties of the classes."""
    for name, value in public().items():
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            yield name, value
        for attribute, member in vars(value).items() if inspect.isclass(value) else ():
            if not attribute.startswith("_"):
                member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if inspect.isfunction(member):
                    yield f"{name}.{attribute}", member


def test_everything_public_is_documented() -> None:
    assert [name for name, value in members() if not inspect.getdoc(value)] == []


def test_everything_public_is_typed() -> None:
    missing = []
    for name, value in members():
        if inspect.isfunction(value):
            signature = inspect.signature(value)
            found = {
                **{p.name: p.annotation for p in signature.parameters.values()},
                "return": signature.return_annotation,
            }
            missing += [f"{name}: {what}" for what, kind in found.items() if kind is inspect.Parameter.empty]
    assert [line for line in missing if not line.endswith((": self", ": cls"))] == []


@pytest.mark.parametrize("face", FACES)
def test_a_face_shows_its_names_and_no_other(face: str) -> None:
    module = importlib.import_module(f"brevitas_a2q.{face}".rstrip("."))
    assert set(module.__all__) <= set(dir(module))
    if face not in ("bounds", "errors"):
        assert sorted(dir(module)) == sorted(module.__all__)


def test_every_other_module_is_private() -> None:
    def private(name: str) -> bool:
        return any(part.startswith("_") for part in name.split("."))

    names = [module.name for module in pkgutil.walk_packages(brevitas_a2q.__path__, "brevitas_a2q.")]
    assert {name.removeprefix("brevitas_a2q.") for name in names if not private(name)} == set(FACES) - {""}


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = brevitas_a2q.no_such_name
