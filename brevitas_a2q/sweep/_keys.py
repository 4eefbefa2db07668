"""Dotted keys into a configuration: ``recipe.learning_rate``, ``layer_rules.layer3.*``, and the papers' letters."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from brevitas_a2q._settings import nearest
from brevitas_a2q.errors import ConfigError

__all__ = ["SHORT", "Path", "full_key", "path_of", "placed"]

Path = tuple[str, ...]

SHORT: Final = {
    "M": "quant.weight_bit_width",
    "N": "quant.activation_bit_width",
    "P": "quant.accumulator_bit_width",
    "method": "quant.method",
    "rate": "recipe.learning_rate",
}


def full_key(key: str) -> str:
    """The key that a short one stands for.

    Example:
        >>> full_key("P"), full_key("seed")
        ('quant.accumulator_bit_width', 'seed')
    """
    return SHORT.get(key, key)


def path_of(key: str, kind: type[Any], where: str) -> Path:
    """Where a key leads in a configuration.

    Args:
        key: Names of fields with dots between them, or one of :data:`SHORT`. Below a field that is a mapping (options,
            rules on layer names) all that remains is one key, dots included.
        kind: Dataclass of the configuration.
        where: How messages name the place.

    Raises:
        ConfigError: There is no such key; the message names the nearest one.

    Example:
        >>> from brevitas_a2q._config import A2QConfig
        >>> path_of("method", A2QConfig, "space")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        brevitas_a2q.errors.ConfigError: space: found the unknown key 'quant.method'; expected ... 'method'?
        >>> path_of("tile", A2QConfig, "space")
        ('tile',)
    """
    rest = full_key(key)
    path: Path = ()
    hint: Any = kind
    while rest:
        fields = get_type_hints(hint) if dataclasses.is_dataclass(hint) else {}
        name, _, after = rest.partition(".")
        if fields and name in fields:
            path, rest, hint = (*path, name), after, _inside(fields[name])
        elif get_origin(hint) is not None and path:  # a mapping with free keys
            return (*path, rest)
        else:
            expected = f"a key of {kind.__name__}, with dots, or one of {', '.join(SHORT)}"
            raise ConfigError(
                f"found the unknown key {full_key(key)!r}", where=where, expected=expected, remedy=_nearest(key, kind)
            )
    return path


def placed(values: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The same plain values with one of them set; a text that something is set in is the name of a recipe.

    Raises:
        ConfigError: Something is to be set in a value that holds nothing.

    Example:
        >>> placed({"recipe": {"epochs": 3}, "quant": None}, ("quant", "method"), "a2q")
        {'recipe': {'epochs': 3}, 'quant': {'method': 'a2q'}}
        >>> placed({"recipe": "one-cycle"}, ("recipe", "epochs"), 3)
        {'recipe': {'base': 'one-cycle', 'epochs': 3}}
    """
    name, *rest = path
    if not rest:
        return {**values, name: value}
    inner = values.get(name) or {}
    if isinstance(inner, str):
        inner = {"base": inner}
    if not isinstance(inner, Mapping):
        raise ConfigError(f"found {name} = {inner!r} where its {rest[0]} is to be set", expected="a mapping or null")
    return {**values, name: placed(inner, tuple(rest), value)}


def _inside(hint: Any) -> Any:
    """What a field holds where it is not None: a dataclass, a mapping, or anything else."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if dataclasses.is_dataclass(option) or (get_origin(option) is not None and _is_mapping(option)):
            return option
    return None


def _is_mapping(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _nearest(key: str, kind: type[Any]) -> str | None:
    keys = list(_keys(kind))
    leaves = [known for known in keys if known.rpartition(".")[2] == key.rpartition(".")[2]]
    return f"did you mean {leaves[0]!r}?" if leaves else nearest(key, keys)


def _keys(kind: type[Any], prefix: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        yield f"{prefix}{name}"
        inner = _inside(hint)
        if dataclasses.is_dataclass(inner):
            yield from _keys(inner, f"{prefix}{name}.")  # type: ignore[arg-type]
