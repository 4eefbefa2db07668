"""The page of supported operators, layers and units, written from the tables that the code itself looks in."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from brevitas_a2q._ir.rules import registry
from brevitas_a2q._ir.rules.registry import OPSETS
from brevitas_a2q._ranges.table import TABLE
from brevitas_a2q.hw import _units as units

__all__ = ["page", "write_pages"]


def write_pages(folder: Path) -> None:
    """Write `operators.md` into the folder, if its text has changed."""
    path, text = folder / "operators.md", page()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def page() -> str:
    """The page in Markdown."""
    return "\n".join(
        [
            "# What is supported",
            "",
            "Written from the tables of the code. What is not in them is *not covered*: a certificate lists it, and",
            "says nothing about what comes out of it until the next quantizer.",
            "",
            "## Operations whose result is known",
            "",
            "For the reader of ONNX files, the trace of models and the converter alike (`brevitas_a2q._ranges`).",
            "",
            *_table(("operation", "what is known of its result"), ((f"`{n}`", _line(f)) for n, f in TABLE.items())),
            "",
            "## ONNX and QONNX operators that are read",
            "",
            f"Versions {OPSETS.start} to {OPSETS.stop - 1} of ONNX' operators. An attribute that is not listed makes",
            "the result unknown.",
            "",
            *_table(("operator", "rule; attributes"), _operators()),
            "",
            "## Streaming units of the estimator",
            "",
            "FINN's kinds (`brevitas_a2q.hw._units`), one file each: fields, legal foldings, cycles, cost, FINN node.",
            "",
            *_table(("unit", "what it is"), _units()),
            "",
        ]
    )


def _operators() -> Iterable[tuple[str, str]]:
    for rules in (registry._ONNX, registry._QONNX):
        for name, entry in sorted(rules.items()):
            attributes = ", ".join(f"`{attribute}`" for attribute in sorted(entry.attributes))
            yield f"`{name}`", _line(entry.rule) + (f" {attributes}" if attributes else "")


def _units() -> Iterable[tuple[str, str]]:
    for module in pkgutil.iter_modules(units.__path__):
        documented = import_module(f"{units.__name__}.{module.name}")
        if module.name not in ("base", "finn", "flow", "folding", "matrix"):
            yield f"`{module.name}`", _line(documented)


def _line(documented: Callable[..., Any] | Any) -> str:
    """First sentence of a docstring, in one line."""
    text = " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())
    return text.replace("|", "\\|").replace("``", "`")


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> list[str]:
    return [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {left} | {right} |" for left, right in rows)]
