"""Packages that only some of this package's features need, and the extra that brings each."""

from __future__ import annotations

import importlib.util
from typing import Final

from brevitas_a2q.errors import MissingExtraError

__all__ = ["EXTRA_OF", "need"]

EXTRA_OF: Final = {
    "jinja2": "report",
    "matplotlib": "report",
    "optuna": "sweep",
    "sqlalchemy": "sweep",
    "accelerate": "train",
    "sklearn": "train",
    "torchvision": "train",
}


def need(feature: str, *packages: str) -> None:
    """Check that packages are there, without importing them.

    Args:
        feature: What needs them, for the message.
        *packages: By the names they are imported by; keys of :data:`EXTRA_OF`.

    Raises:
        MissingExtraError: Names the first that is missing, and the extra.

    Example:
        >>> need("pages", "jinja2")
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f"found no package {package!r}",
                where=feature,
                expected=f"the extra {EXTRA_OF[package]!r}",
                remedy=f"pip install 'brevitas_a2q[{EXTRA_OF[package]}]'",
            )
