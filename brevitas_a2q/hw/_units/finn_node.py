"""What a FINN node is, and which branches of FINN there are."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

__all__ = ["REMEDY", "Node", "Version"]

REMEDY: Final = "estimate it with the synthesis model"
Version: TypeAlias = Literal["main", "dev"]
Node: TypeAlias = tuple[str, dict[str, Any]]  # general op type, attributes as FINN's conversion writes them
