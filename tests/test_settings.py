"""Dataclasses from plain values: types, nesting, nearest keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from brevitas_a2q._settings import parse, parse_yaml, plain, read_yaml
from brevitas_a2q.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    kind: Literal["fast", "slow"] = "fast"


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 1
    flag: bool | Literal["auto"] = "auto"
    inner: Inner | None = None
    widths: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def test_nested_values_and_back() -> None:
    values = {"name": "a", "flag": True, "inner": {"rate": 2}, "widths": {"*": 3}, "options": {"x": [1, None]}}
    parsed = parse(Outer, values, "test")
    assert parsed == Outer("a", 1, True, Inner(2.0), {"*": 3}, {"x": [1, None]})
    assert isinstance(parsed.inner and parsed.inner.rate, float)
    assert parse(Outer, plain(parsed), "test") == parsed


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("5", 5.0), (".5", 0.5)])
def test_numbers_that_yaml_takes_for_text(text: str, value: float) -> None:
    assert parse(Inner, {"rate": text}, "test").rate == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "test: found no name; expected a text"),
        ([], "expected a mapping with keys among name, count"),
        ({"name": "a", "cuont": 2}, "did you mean 'count'?"),
        ({"name": "a", "inner": {"rte": 2}}, "test, inner: found the unknown key 'rte'.*did you mean 'rate'?"),
        ({"name": "a", "inner": {"kind": "fats"}}, "expected one of fast, slow; did you mean 'fast'?"),
        ({"name": "a", "inner": 3}, "expected a mapping with keys among rate, kind or null"),
        ({"name": "a", "inner": {"rate": "quick"}}, "found rate = 'quick'; expected a number"),
        ({"name": "a", "inner": {"rate": True}}, "expected a number"),
        ({"name": "a", "count": 1.0}, "found count = 1.0; expected an integer"),
        ({"name": "a", "count": True}, "expected an integer"),
        ({"name": "a", "count": None}, "expected an integer"),
        ({"name": "a", "flag": 1}, "expected true or false or one of auto"),
        ({"name": 3}, "expected a text"),
        ({"name": "a", "widths": {"*": "wide"}}, "expected a mapping with names as keys"),
        ({"name": "a", "widths": {3: 3}}, "expected a mapping with names as keys"),
    ],
)
def test_refused(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        parse(Outer, values, "test")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.touch()
    assert read_yaml(path) == {}
    for content in (b"a: [1", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"a\.yaml"):
            read_yaml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("root: 2024-13-41", "is no YAML"),
        ("seed: " + "9" * 5000, "is no YAML"),
        ("seed: 0x" + "f" * 5000, "more than 64 bits"),
        ("width: 2026-01-01", "type date"),
        ("width: !!set {a}", "type set"),
        ("width: !!binary aGVsbG8=", "type bytes"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("a: &a [*a]", "unfolds into more than"),
        (
            "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
            "unfolds into more than",
        ),
        ("model: !!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_yaml_that_no_configuration_needs(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^place: .*{message}"):
        parse_yaml(text, "place")
