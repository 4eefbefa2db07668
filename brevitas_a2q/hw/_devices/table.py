"""The table of parts and boards, and own parts from YAML files."""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from brevitas_a2q.errors import PartError
from brevitas_a2q.hw._devices.part import Part

__all__ = ["boards", "find_part", "load_part", "parts"]

_TABLE: Final = Path(__file__).with_name("parts.yaml")
_COUNTS: Final = ("lut", "ff", "bram18", "uram", "dsp")
_DSP_BLOCKS: Final = {"7-series": "DSP48E1", "UltraScale+": "DSP48E2", "Versal": "DSP58"}
# What may follow the device in an ordering code: package and pins, then speed and temperature grades.
_PACKAGE: Final = re.compile(r"i?-?[a-z]{2,4}\d{3,4}(-.*)?")


def _read_yaml(path: Path) -> Any:
    import yaml  # here, so that what needs no part starts without it

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PartError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a 13th month, or not UTF-8
        raise PartError("found a file that is not YAML", where=str(path), expected="a YAML mapping") from error


@cache
def _table() -> Any:
    return _read_yaml(_TABLE)


@cache
def parts() -> dict[str, Part]:
    """Every part of the table by its device name, in the table's order.

    Example:
        >>> parts()["xc7z020"].lut
        53200
    """
    return {
        name: Part(name, family, **dict(zip(_COUNTS, counts, strict=True)), dsp_block=rows["dsp_block"])
        for family, rows in _table()["families"].items()
        for name, counts in rows["parts"].items()
    }


def boards() -> dict[str, str]:
    """Board name to the ordering code of the part on it."""
    return dict(_table()["boards"])


def find_part(name: str | Path | Part) -> Part:
    """The part of this device name, ordering code, board name or YAML file.

    Args:
        name: ``xczu7ev``, ``xczu7ev-ffvc1156-2-e``, ``ZCU104``, a path that ends in ``.yaml`` or ``.yml``, or a part,
            which is returned as it is.

    Returns:
        The part, under its device name.

    Raises:
        PartError: With the nearest names, where there is no such part.

    Example:
        >>> find_part("ZCU104").name, find_part("xc7z020clg400-1").dsp
        ('xczu7ev', 220)
    """
    if isinstance(name, Part):
        return name
    if str(name).lower().endswith((".yaml", ".yml")):
        return load_part(Path(name))
    wanted = str(name).strip().lower()
    on_board = {board.lower(): part for board, part in boards().items()}
    device = _device(on_board.get(wanted, wanted).lower())
    if device is not None:
        return parts()[device]
    known = {**{n: n for n in parts()}, **{b.lower(): b for b in boards()}}
    near = [known[n] for n in difflib.get_close_matches(wanted.split("-")[0], known, n=4, cutoff=0.5)]
    raise PartError(
        f"found part {str(name)!r}, which is not in the table",
        expected=f"a part or board such as {', '.join(near or ['xczu7ev', 'ZCU104'])}",
        remedy="`brevitas-a2q parts` lists them all; describe your own in a YAML file",
    )


def _device(code: str) -> str | None:
    """Device name at the start of an ordering code; the longest, since xc7z01 could begin two."""
    for name in sorted(parts(), key=len, reverse=True):
        if code == name or (code.startswith(name) and _PACKAGE.fullmatch(code[len(name) :])):
            return name
    return None


def load_part(path: Path) -> Part:
    """An own part from a YAML mapping of ``name``, ``family``, ``lut``, ``ff``, ``bram18``, ``uram``, ``dsp``.

    ``uram`` may be left out (0), and ``dsp_block`` too (the family's).

    Raises:
        PartError: For an unreadable file, an unknown key, a missing or negative count, or an unknown family.
    """
    fields = _read_yaml(path)
    if not isinstance(fields, dict):
        raise PartError("found no mapping", where=str(path), expected=f"keys name, family, {', '.join(_COUNTS)}")
    unknown = sorted(str(key) for key in fields.keys() - {"name", "family", "dsp_block", *_COUNTS})
    missing = [key for key in ("name", "family", *_COUNTS) if key not in fields and key != "uram"]
    if unknown or missing:
        raise PartError(
            f"found unknown keys {unknown} and missing keys {missing}",
            where=str(path),
            expected=f"keys name, family, {', '.join(_COUNTS)} and, if need be, dsp_block",
        )
    family = fields["family"]
    if not isinstance(family, str) or family not in _DSP_BLOCKS:
        raise PartError(f"found family {family!r}", where=str(path), expected=f"one of {', '.join(_DSP_BLOCKS)}")
    counts = {key: fields.get(key, 0) for key in _COUNTS}
    for key, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise PartError(f"found {key} = {value!r}", where=str(path), expected="an integer of at least 0")
    return Part(
        name=str(fields["name"]), family=family, dsp_block=str(fields.get("dsp_block", _DSP_BLOCKS[family])), **counts
    )
