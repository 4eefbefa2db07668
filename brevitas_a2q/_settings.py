"""Frozen dataclasses in and out of plain values and YAML, with every key and every value's type checked.

A misspelt key is an error that names the right one, instead of a setting that silently does nothing. What a field may
hold is read off its annotation; what goes beyond a type (a range, say) the dataclass checks itself.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from brevitas_a2q.errors import ConfigError

__all__ = ["json_schema", "known_keys", "nearest", "parse", "parse_yaml", "plain", "read_yaml"]

Kind = TypeVar("Kind")

_LARGEST = 1_000_000  # values and letters of one file, aliases unfolded


def nearest(word: object, choices: Iterable[str]) -> str | None:
    """A remedy that names the choice most like ``word``, where one is.

    Example:
        >>> nearest("epoch", ["epochs", "seed"])
        "did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else None


def known_keys(kind: type[Any], values: Any, where: str) -> dict[str, Any]:
    """Check that ``values`` is a mapping whose keys are fields of the dataclass ``kind``.

    Args:
        kind: A dataclass.
        values: What was given for it.
        where: How messages name the place.

    Returns:
        The same keys and values.

    Raises:
        ConfigError: No mapping, or an unknown key; the message names the nearest valid one.
    """
    names = tuple(f.name for f in dataclasses.fields(kind))
    if not isinstance(values, Mapping):
        raise ConfigError(f"found {values!r}", where=where, expected=f"a mapping with keys among {', '.join(names)}")
    for key in values:
        if key not in names:
            raise ConfigError(
                f"found the unknown key {key!r}",
                where=where,
                expected=f"one of {', '.join(names)}",
                remedy=_nested(kind, key) or nearest(key, names),
            )
    return dict(values)


def _nested(kind: type[Any], key: object) -> str | None:
    """A remedy that names the part of a dataclass that has this key."""
    for name, hint in get_type_hints(kind).items():
        for part in get_args(hint) or (hint,):
            if dataclasses.is_dataclass(part) and any(f.name == key for f in dataclasses.fields(part)):
                return f"did you mean '{name}.{key}'?"
    return None


def parse(kind: type[Kind], values: Any, where: str) -> Kind:
    """A dataclass from plain values, nested dataclasses included.

    Args:
        kind: A dataclass whose fields are numbers, strings, booleans, ``Literal``, mappings with string keys, other
            dataclasses, or one of these or None.
        values: Mapping, as YAML or JSON gives it.
        where: How messages name the place.

    Raises:
        ConfigError: An unknown key, a value of another type, or what the dataclass itself refuses.

    Example:
        >>> from brevitas_a2q._config import LayerRule
        >>> parse(LayerRule, {"pattern": "*", "tile": 64}, "rule").tile
        64
    """
    given = known_keys(kind, values, where)
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in given:
            raise ConfigError(f"found no {field.name}", where=where, expected=_describe(hints[field.name]))
    return kind(**{name: _value(hints[name], value, name, where) for name, value in given.items()})


def _value(hint: Any, value: Any, name: str, where: str) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return parse(option, value, f"{where}, {name}")  # type: ignore[arg-type]
        if _fits(option, value):
            return value
        if option is float and (number := _number(value)) is not None:
            return number
    words = [word for option in options if get_origin(option) is Literal for word in get_args(option)]
    remedy = nearest(value, [word for word in words if isinstance(word, str)])
    raise ConfigError(f"found {name} = {value!r}", where=where, expected=_describe(hint), remedy=remedy)


def _fits(option: Any, value: Any) -> bool:
    if option is Any:
        return True
    if get_origin(option) is Literal:
        return any(value == word and type(value) is type(word) for word in get_args(option))
    if get_origin(option) is not None:  # Mapping[str, X]: keys are names
        inner = get_args(option)[1]
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and (inner is Any or _fits(inner, item)) for key, item in value.items()
        )
    if isinstance(value, bool):
        return option is bool
    return isinstance(value, option)


def _number(value: Any) -> float | None:
    """A float, an integer, or a text like ``1e-3``, which YAML 1.1 takes for a string for want of a point."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _describe(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_describe(option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(word) for word in get_args(hint))
    if get_origin(hint) is not None:
        return "a mapping with names as keys"
    if dataclasses.is_dataclass(hint):
        return f"a mapping with keys among {', '.join(f.name for f in dataclasses.fields(hint))}"
    named = {bool: "true or false", int: "an integer", float: "a number", str: "a text", type(None): "null"}
    return named.get(hint, str(hint))


def json_schema(kind: type[Any]) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of what :func:`parse` takes for a dataclass, for editors that complete and check.

    Example:
        >>> from brevitas_a2q._config import LayerRule
        >>> json_schema(LayerRule)["required"]
        ['pattern']
    """
    hints = get_type_hints(kind)
    properties, required = {}, []
    for field in dataclasses.fields(kind):
        properties[field.name] = _schema_of(hints[field.name])
        if field.default is not dataclasses.MISSING:
            properties[field.name]["default"] = plain(field.default)
        elif field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _schema_of(hint: Any) -> dict[str, Any]:
    if get_origin(hint) in (Union, types.UnionType):
        return {"anyOf": [_schema_of(option) for option in get_args(hint)]}
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint) is not None:
        return {"type": "object", "additionalProperties": _schema_of(get_args(hint)[1])}
    if dataclasses.is_dataclass(hint):
        return json_schema(hint)  # type: ignore[arg-type]
    named = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {"type": named[hint]} if hint in named else {}


def plain(value: Any) -> Any:
    """The plain values (mappings, lists, texts, numbers) that :func:`parse` makes the same dataclass of."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def parse_yaml(text: str, where: str) -> Any:
    """Plain values of a YAML text: numbers, texts, booleans, null, lists and mappings.

    Args:
        text: What somebody wrote; nothing in it is executed.
        where: How messages name the place.

    Raises:
        ConfigError: No YAML, values of another kind (dates, say), or aliases that unfold into very many of them.

    Example:
        >>> parse_yaml("{rate: 1.0e-3, epochs: 3}", "text")
        {'rate': 0.001, 'epochs': 3}
    """
    try:
        values = yaml.safe_load(text)
    except RecursionError as error:
        raise ConfigError("is nested too deeply", where=where, expected="a few levels") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a 13th month, or an integer of thousands of digits
        raise ConfigError(f"is no YAML ({error})", where=where) from error
    _require_plain(values, where)
    return values


def _require_plain(values: Any, where: str) -> None:
    pending, size = [values], 0
    while pending:
        value = pending.pop()
        if isinstance(value, (Mapping, list)):
            pending += [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
            size += len(value)
        elif isinstance(value, str):
            size += len(value)
        elif not (value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 64)):
            kind = (
                "an integer of more than 64 bits"
                if isinstance(value, int)
                else f"a value of type {type(value).__name__}"
            )
            raise ConfigError(f"found {kind}", where=where, expected="numbers, texts, booleans, lists and mappings")
        if size > _LARGEST:
            raise ConfigError(
                f"unfolds into more than {_LARGEST} values and letters", where=where, remedy="drop aliases"
            )


def read_yaml(source: str | Path) -> Any:
    """Plain values of a YAML file; an empty one is an empty mapping.

    Raises:
        ConfigError: The file is missing, or what :func:`parse_yaml` raises.
    """
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({error})", where=str(path), expected="a YAML file") from error
    values = parse_yaml(text, str(path))
    return {} if values is None else values
