"""Streams with several readers, and the order of the units."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from brevitas_a2q.hw.ir import DuplicateStreams, Thresholding, Unit

__all__ = ["with_forks"]


def with_forks(units: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """The units with a DuplicateStreams behind each that has several readers, ordered by distance from the input.

    The order is that of qonnx's ``SortGraph``: levels first, and within a level the order in which the units were
    made; thresholds that read a copy of a stream come first within theirs, as in FINN's reports.
    """
    readers = Counter(name for unit in units for name in unit.inputs)
    copies: dict[str, DuplicateStreams] = {}
    by_name = {unit.name: unit for unit in units}
    first_reader: dict[str, Unit] = {}
    for unit in units:
        for name in unit.inputs:
            first_reader.setdefault(name, unit)
    for name, count in readers.items():
        if count > 1:
            copies[name] = _copy(name, by_name.get(name), first_reader[name], count)
    linked: list[Unit] = [copies[""]] if "" in copies else []
    for unit in units:
        linked.append(replace(unit, inputs=tuple(copies[n].name if n in copies else n for n in unit.inputs)))
        if unit.name in copies:
            linked.append(copies[unit.name])
    return _by_level(linked, {copy.name for copy in copies.values()})


def _copy(name: str, producer: Unit | None, reader: Unit, count: int) -> DuplicateStreams:
    made_from = producer if producer is not None else reader
    dtype = producer.output_type if producer is not None else reader.input_type
    return DuplicateStreams(
        name=f"{name or 'input'}/fork",
        inputs=(name,),
        input_type=dtype,
        output_type=dtype,
        pixels=made_from.pixels,
        channels=made_from.channels,
        source=made_from.source,
        copies=count,
    )


def _by_level(units: list[Unit], forks: set[str]) -> tuple[Unit, ...]:
    level = {"": -1}
    for unit in units:
        level[unit.name] = 1 + max(level[name] for name in unit.inputs)

    def key(unit: Unit) -> tuple[int, bool]:
        first = isinstance(unit, Thresholding) and unit.inputs[0] in forks
        return level[unit.name], not first

    return tuple(sorted(units, key=key))
