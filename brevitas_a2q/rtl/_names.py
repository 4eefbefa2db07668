"""Names of units as names that Verilog and every file system take."""

from __future__ import annotations

import re

__all__ = ["identifiers"]

_LONGEST = 40


def identifiers(names: list[str]) -> dict[str, str]:
    """A unique identifier for each name: its number and what of it is letters, digits and underscores.

    The names come from a file that may say anything, so nothing of them reaches a path or a netlist unfiltered.

    Example:
        >>> identifiers(["features.0/pad", "../../etc", ""])
        {'features.0/pad': 'u0_features_0_pad', '../../etc': 'u1_etc', '': 'u2'}
    """
    found = {}
    for number, name in enumerate(names):
        clean = re.sub(r"[^A-Za-z0-9]+", "_", name.encode("ascii", "ignore").decode()).strip("_")[:_LONGEST].rstrip("_")
        found[name] = f"u{number}_{clean}" if clean else f"u{number}"
    return found
