"""What a sweep covers: a base configuration, and a grid of cells or ranges to search."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from brevitas_a2q._settings import parse, read_yaml
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.sweep._keys import full_key, path_of, placed
from brevitas_a2q.sweep._objectives import Objective, objectives_of
from brevitas_a2q.sweep._ranges import Range, parse_ranges

__all__ = ["Config", "Settings", "Space"]

Settings = Mapping[str, Any]
"""Dotted key -> value: what one cell changes in the base."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOW: Final = ("runtime", "data_root")  # where and how a run is computed, not what


class Config(Protocol):
    """Configuration of a run: a dataclass in and out of plain values."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = ...) -> Any:
        """Checked."""

    def to_dict(self) -> dict[str, Any]:
        """Plain, with every default spelled out."""


@dataclass(frozen=True)
class _File:
    """Keys of a space file."""

    name: str | None = None
    base: Any = field(default_factory=dict)
    grid: Any = None
    search: Any = None
    objectives: Any = ("metric", "accumulator_bit_width")
    sampler: Literal["nsga2", "tpe", "random"] = "tpe"
    trials: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Space:
    """A grid, or ranges to search, around a base configuration.

    Attributes:
        name: Of the sweep; the name of its study in the storage.
        base: Plain values of the base configuration, every default spelled out.
        cells: Settings of each cell of the grid by the name of its run, in the order in which they are to be run.
        search: Ranges by dotted key, for a search; empty for a grid.
        objectives: What a search weighs against each other; also recorded for every cell of a grid.
        sampler: What proposes the runs of a search.
        trials: How many runs a search has.
        seed: Of the sampler.
    """

    name: str
    kind: type[Any]
    base: Mapping[str, Any]
    cells: Mapping[str, Settings]
    search: Mapping[str, Range]
    objectives: tuple[Objective, ...]
    sampler: str
    trials: int
    seed: int

    @classmethod
    def from_yaml(cls, source: str | Path, kind: type[Any]) -> Space:
        """Read a space file.

        Args:
            source: Path of the file; ``base`` may be a file beside it.
            kind: Dataclass of the configuration that it varies; see :class:`Config`.

        Raises:
            ConfigError: An unknown key (the message names the nearest valid one), or a value that is refused.
        """
        path = Path(source)
        values = read_yaml(path)
        if isinstance(values, Mapping) and isinstance(values.get("base"), str):
            values = {**values, "base": read_yaml(path.parent / values["base"])}
        return cls.from_dict(values, kind, str(path), default_name=path.stem)

    @classmethod
    def from_dict(cls, values: Any, kind: type[Any], where: str = "space", default_name: str = "sweep") -> Space:
        """The same from plain values."""
        given = parse(_File, values, where)
        name = given.name or default_name
        if not _NAME.fullmatch(name):
            raise ConfigError(f"found name = {name!r}", where=where, expected="letters, digits, '.', '_' and '-'")
        if (given.grid is None) == (given.search is None):
            raise ConfigError("found both or neither of grid and search", where=where, expected="one of them")
        of_search = [key for key in ("sampler", "trials", "seed") if given.grid is not None and key in values]
        if of_search:
            remedy = "a grid runs all of its cells, and takes `seed` as an axis"
            raise ConfigError(
                f"found {', '.join(of_search)} beside grid", where=where, expected="search", remedy=remedy
            )
        if given.trials < 1:
            raise ConfigError(f"found trials = {given.trials}", where=where, expected="at least 1")
        base = kind.from_dict(given.base, f"{where}, base").to_dict()
        objectives = given.objectives if isinstance(given.objectives, (list, tuple)) else [given.objectives]
        space = cls(
            name=name,
            kind=kind,
            base=base,
            cells={},
            search={} if given.search is None else parse_ranges(given.search, f"{where}, search"),
            objectives=objectives_of([str(objective) for objective in objectives], where),
            sampler=given.sampler,
            trials=given.trials,
            seed=given.seed,
        )
        for key in space.search:
            _path(key, kind, f"{where}, search")
        cells = {} if given.grid is None else dict(_cells(space, given.grid, f"{where}, grid"))
        object.__setattr__(space, "cells", cells)
        space._check(where)
        return space

    def _check(self, where: str) -> None:
        """Refuse before the first run what every run would come to only at its end."""
        if not self.cells and not self.search:
            raise ConfigError("found no cell", where=f"{where}, grid", expected="a mapping of keys to lists of values")
        varied = {key.partition(".")[0] for key in (*self.search, *itertools.chain(*self.cells.values()))}
        asked = any(objective.name == "lut" for objective in self.objectives)
        if asked and "estimate" not in varied and self.base.get("estimate") is None:
            raise ConfigError("found the objective lut", where=where, expected="a base with an `estimate`")
        for key, found in self.search.items():  # what cannot be put together is found with any choice of the others
            others = {other: ranged.example for other, ranged in self.search.items() if other != key}
            for value in found.choices.values():
                self.values({**others, key: value})

    def values(self, settings: Settings) -> dict[str, Any]:
        """Plain values of the configuration with these settings; nothing is checked but the keys."""
        values = dict(self.base)
        for key in sorted(settings, key=lambda key: key.count(".")):  # a whole recipe before one of its keys
            values = placed(values, _path(key, self.kind, "space"), settings[key])
        return values

    def run_name(self, settings: Settings) -> str:
        """Name of the run with these settings: a hash of its configuration, so that a retried run finds its folder.

        Where and how it is computed (``runtime``, ``data_root``) has no part in it.
        """
        values = {key: value for key, value in self.values(settings).items() if key not in _HOW}
        text = json.dumps(values, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def identity(self) -> dict[str, Any]:
        """What must be the same for two files to speak of the same sweep; a grid may grow, a search may go on."""
        base = {key: value for key, value in self.base.items() if key not in _HOW}
        search = {key: found.to_json() for key, found in self.search.items()}
        objectives = [objective.name for objective in self.objectives]
        return {"base": base, "kind": "search" if search else "grid", "search": search, "objectives": objectives}


def _path(key: str, kind: type[Any], where: str) -> tuple[str, ...]:
    path = path_of(key, kind, where)
    if path[0] in _HOW:
        raise ConfigError(
            f"found the key {key!r}", where=where, expected="what a run computes, not how", remedy="set it in the base"
        )
    return path


def _cells(space: Space, grid: Any, where: str) -> Iterator[tuple[str, Settings]]:
    """Every cell once: grids one after the other, and of each the product of its axes, the first varying slowest."""
    for number, axes in enumerate(grid if isinstance(grid, list) else [grid], 1):
        place = f"{where} {number}" if isinstance(grid, list) else where
        if not isinstance(axes, Mapping) or not axes:
            raise ConfigError(f"found {axes!r}", where=place, expected="a mapping of keys to lists of values")
        for choice in itertools.product(*(_axis(space, str(key), values, place) for key, values in axes.items())):
            settings = {key: value for part in choice for key, value in part.items()}
            if len(settings) < sum(map(len, choice)):
                raise ConfigError(f"found a key twice in {list(axes)}", where=place, expected="each key once")
            _check_cell(space, settings, place)
            yield space.run_name(settings), settings


def _check_cell(space: Space, settings: Settings, where: str) -> None:
    """Values are refused before the first run, like keys."""
    try:
        space.kind.from_dict(space.values(settings))
    except ConfigError as error:
        shown = ", ".join(f"{key} = {value}" for key, value in settings.items())
        raise ConfigError(str(error), where=f"{where}, cell {shown}") from error


def _axis(space: Space, text: str, values: Any, where: str) -> list[Settings]:
    """The settings along one axis; ``"M, N": [[3, 3], [4, 4]]`` varies several keys together."""
    keys = [full_key(key.strip()) for key in text.split(",")]
    for key in keys:
        _path(key, space.kind, where)
    if len(set(keys)) < len(keys):
        raise ConfigError(f"found a key twice in {text!r}", where=where, expected="each key once")
    if not isinstance(values, list) or not values:
        raise ConfigError(f"found {text}: {values!r}", where=where, expected="a list of values")
    if len(keys) == 1:
        return [{keys[0]: value} for value in values]
    for value in values:
        if not isinstance(value, list) or len(value) != len(keys):
            raise ConfigError(f"found {value!r} for {text!r}", where=where, expected=f"lists of {len(keys)} values")
    return [dict(zip(keys, value, strict=True)) for value in values]
