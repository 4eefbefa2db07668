"""Streams with several readers, and the order of the units."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from brevitas_a2q.hw._ir import DuplicateStreams, Input, Thresholding, Unit

__all__ = ["with_forks"]


def with_forks(units: tuple[Unit, ...], image: Input) -> tuple[Unit, ...]:
    """The units with a DuplicateStreams behind each that has several readers, ordered by distance from the input.

    The network's input is such a value too, ``image``.

    The order is that of qonnx's ``SortGraph``: levels first, and within a level the order in which the units were
    made; thresholds that read a copy of a stream come first within theirs, as in FINN's reports.
    """
    readers = Counter(name for unit in units for name in unit.inputs)
    copies: dict[str, DuplicateStreams] = {}
    by_name = {unit.name: unit for unit in (image, *units)}
    for name, count in readers.items():
        if count > 1:
            copies[name] = _copy(by_name[name], count)
    linked: list[Unit] = [copies[""]] if "" in copies else []
    for unit in units:
        linked.append(replace(unit, inputs=tuple(copies[n].name if n in copies else n for n in unit.inputs)))
        if unit.name in copies:
            linked.append(copies[unit.name])
    return _by_level(linked, {copy.name for copy in copies.values()})


def _copy(producer: Unit, count: int) -> DuplicateStreams:
    return DuplicateStreams(
        name=f"{producer.name or 'input'}/fork",
        inputs=(producer.name,),
        input_type=producer.output_type,
        output_type=producer.output_type,
        pixels=producer.pixels,
        channels=producer.channels,
        source=producer.source,
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
