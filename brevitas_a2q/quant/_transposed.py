"""Attributes of Brevitas' transposed convolutions that raise what ``hasattr`` does not expect.

``torch.jit.trace`` asks a module for each of its attributes, and fails for every model with such a layer.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import brevitas.nn as qnn

__all__: list[str] = []


def _separable(layer: Any) -> bool:
    return bool(layer.groups == layer.out_channels)


def _uncounted(layer: Any) -> int:
    raise AttributeError(f"{type(layer).__name__} does not count its operations")


def _mend(kind: Any, name: str, mended: Any) -> None:
    try:
        vars(kind)[name].fget(SimpleNamespace(groups=1, out_channels=1))
    except (TypeError, NotImplementedError):  # the first says "raise" for "return" in Brevitas 0.13
        setattr(kind, name, property(mended))
    except (KeyError, AttributeError):  # written otherwise, in another version
        pass


for _kind in (qnn.QuantConvTranspose1d, qnn.QuantConvTranspose2d, qnn.QuantConvTranspose3d):
    _mend(_kind, "channelwise_separable", _separable)
    _mend(_kind, "per_elem_ops", _uncounted)
