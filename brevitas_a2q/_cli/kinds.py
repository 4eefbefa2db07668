"""What a command writes to a file: nothing of another kind is replaced by it, whoever mistook one name for another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["kind_of", "replaces_another_kind"]

_START: Final = 64  # bytes that tell pages, archives and networks
_PAGES: Final = (b"<!doctype html", b"<html")

# What each option of a command writes; pages are written by all of them. Pictures are told by their suffix, which is
# looked at where the option is read.
_KINDS: Final = {
    ("certify", "output"): "a certificate",
    ("export", "certificate"): "a certificate",
    ("export", "out"): "a network",
    ("fold", "out"): "a folding file",
    ("simulate", "out"): "an .npz file",
}


def kind_of(command: str, option: str) -> str | None:
    """What an option's file is; None where that is nothing in particular."""
    return "a page" if option == "html" else _KINDS.get((command, option))


def replaces_another_kind(kind: str, path: Path) -> bool:
    """Whether a file is there that holds something else; an empty one, or what is no file, is nobody's.

    Args:
        kind: As :func:`kind_of` says.
        path: Of an output.
    """
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return False
        with path.open("rb") as file:
            start = file.read(_START)
        return not _IS[kind](start, path)
    except (OSError, ValueError, RecursionError):  # unreadable, or no JSON
        return True


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _is_certificate(_: bytes, path: Path) -> bool:
    found = _json(path)
    return isinstance(found, dict) and str(found.get("format", "")).startswith("brevitas_a2q.")


def _is_folding(_: bytes, path: Path) -> bool:
    found = _json(path)
    return isinstance(found, dict) and all(isinstance(node, dict) for node in found.values())


_IS: Final[dict[str, Callable[[bytes, Path], bool]]] = {
    "a page": lambda start, _: start.lstrip().lower().startswith(_PAGES),
    "an .npz file": lambda start, _: start.startswith(b"PK"),
    "a network": lambda start, _: start.startswith(b"\x08"),  # ONNX: the version comes first
    "a certificate": _is_certificate,
    "a folding file": _is_folding,
}
